//! Whether what was granted may still be done: asked again while a body comes, which may take hours.

use std::sync::atomic::{AtomicI64, Ordering};

use hallmark_oci::{Operation, Scopes};

use super::{Refused, authorize, needed_by, remember_refusal};
use crate::app::App;
use crate::auth::{self, Client, Identity};

/// For how long a decision holds without being made again, in milliseconds: small bodies cost no second look.
const FRESH: i64 = 1_000;

/// What a request stands on while it runs.
pub struct Standing<'a> {
    app: &'a App,
    shown: Shown<'a>,
    operation: Operation,
    realm: &'a (dyn Fn() -> String + Send + Sync),
    decided_at: AtomicI64,
}

/// Who asks, what they showed for it, and when they were believed.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// Who they were found to be.
    pub identity: &'a Identity,
    /// The value of the `Authorization` header.
    pub authorization: Option<&'a str>,
    /// From where.
    pub client: Client,
    /// Milliseconds since 1970.
    pub at: i64,
}

/// A grant that holds no more, with all that its refusal tells.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct Lapsed {
    pub(super) why: Why,
    pub(super) identity: Identity,
    pub(super) needed: Scopes,
    pub(super) realm: String,
}

/// Why a grant holds no more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Why {
    /// What was shown identifies nobody any more.
    #[error(transparent)]
    Unidentified(auth::Refused),
    /// Who was identified lacks the right now.
    #[error(transparent)]
    Refused(Refused),
    /// The registry takes no writes for now.
    #[error("the registry is read-only for now")]
    ReadOnly,
}

impl std::fmt::Debug for Standing<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Standing").field("operation", &self.operation).finish_non_exhaustive()
    }
}

impl<'a> Standing<'a> {
    /// What a request stands on that was granted `operation` for what it `shown`; `realm` is where a refusal sends it.
    #[must_use]
    pub fn new(
        app: &'a App,
        shown: Shown<'a>,
        operation: Operation,
        realm: &'a (dyn Fn() -> String + Send + Sync),
    ) -> Self {
        Self { app, shown, operation, realm, decided_at: AtomicI64::new(shown.at) }
    }

    /// Whether the grant still holds, by the facts of now when the last decision is not fresh. A token that ran out in the
    /// meantime is no reason to refuse: it was good when the request began, and a layer may take longer than a token lives.
    ///
    /// # Errors
    /// [`Lapsed`], which is answered like a request that begins now.
    pub async fn ask(&self) -> Result<(), Box<Lapsed>> {
        if self.app.is_readonly() {
            return Err(self.lapsed(Why::ReadOnly));
        }
        let now = self.app.clock.now();
        // A clock that was set back makes no decision fresh.
        if (0..FRESH).contains(&(now - self.decided_at.load(Ordering::Relaxed))) {
            return Ok(());
        }
        let Shown { identity, authorization, client, at } = self.shown;
        let identity = auth::confirm(self.app, identity, authorization, client, at)
            .await
            .map_err(|refused| self.lapsed(Why::Unidentified(refused)))?;
        let granted = authorize(self.app, &identity, self.operation.clone()).await;
        granted.map_err(|refused| self.lapsed(Why::Refused(refused)))?;
        self.decided_at.store(now, Ordering::Relaxed);
        Ok(())
    }

    /// Resolves when the registry becomes read-only: nobody then waits for the rest of a body.
    pub async fn readonly(&self) -> Box<Lapsed> {
        self.app.readonly.turned_on().await;
        self.lapsed(Why::ReadOnly)
    }

    /// The refusal of a request whose repository became somebody else's between the decision and the change.
    #[must_use]
    pub fn lacking(&self) -> Box<Lapsed> {
        self.lapsed(Why::Refused(Refused::Lacking { needed: needed_by(&self.operation), right: true }))
    }

    fn lapsed(&self, why: Why) -> Box<Lapsed> {
        if let Why::Refused(refused) = &why {
            remember_refusal(self.app, refused, self.shown.identity, (self.operation.name(), self.shown.client));
        }
        let (identity, needed) = (self.shown.identity.clone(), needed_by(&self.operation));
        Box::new(Lapsed { why, identity, needed, realm: (self.realm)() })
    }
}
