//! A server with one image, and a look at everything in it: what a refused request must leave as it was.

use std::collections::BTreeMap;

use hallmark_conformance::{
    Outcome,
    check::{holds, refused},
    failure::While,
    http::{Request, Response},
    image::Image,
    registry::Registry,
    server::{Plan, Server},
};

/// The repository that the image stands in.
pub(crate) const REPOSITORY: &str = "admin/app";

/// What anybody can read: each repository with its tags, and each tag with its digest.
type Look = BTreeMap<String, BTreeMap<String, String>>;

/// A server that holds one image, `admin/app:1`.
pub(crate) struct Scene {
    pub(crate) server: Server,
    pub(crate) registry: Registry,
    pub(crate) image: Image,
}

impl Scene {
    pub(crate) fn new() -> Outcome<Self> {
        Self::with(Plan::default())
    }

    pub(crate) fn with(plan: Plan) -> Outcome<Self> {
        let server = plan.start()?;
        let registry = server.registry();
        let image = Image::random(1, &[1_000, 2_000]);
        registry.push_image(REPOSITORY, "1", &image)?;
        Ok(Self { server, registry, image })
    }

    /// Sends a request as the admin, and holds that it is refused with one of these statuses and codes and that nothing
    /// changed.
    pub(crate) fn refuses(&self, request: &Request, statuses: &[u16], codes: &[&str]) -> Outcome<Response> {
        let before = self.look()?;
        let answer = self.registry.client().send(request)?;
        let context = format!("{} {}", request.method, request.target);
        refused(&answer, statuses, codes).or_fail(context.clone())?;
        let after = self.look()?;
        holds(before == after, || format!("{context} changed {before:?} to {after:?}"))?;
        Ok(answer)
    }

    /// Everything in the registry, the image's bytes included: reading them is part of looking.
    pub(crate) fn look(&self) -> Outcome<Look> {
        let mut look = Look::new();
        for repository in self.registry.catalog()? {
            let mut tags = BTreeMap::new();
            for tag in self.registry.tags(&repository)? {
                let digest = self.registry.check_image(&repository, &tag)?;
                tags.insert(tag, digest);
            }
            look.insert(repository, tags);
        }
        Ok(look)
    }

    /// Holds that a blob is nowhere to be read.
    pub(crate) fn absent(&self, digest: &str) -> Outcome<()> {
        let answer = self.registry.blob(REPOSITORY, digest)?;
        refused(&answer, &[404], &["BLOB_UNKNOWN"])
    }
}
