//! Signing people in by their browser: sign-ins that have begun, browsers that are signed in, and devices that wait for
//! their person. Whatever opens something is kept as its hash only.

use super::database::Metadata;
use super::error::Error;
use super::rows::PrincipalId;
use super::sql::Row;
use super::statement::statements;
use super::tx::Tx;
use super::value::values;

statements! {
    OPEN_SIGN_INS = [
        "SELECT COUNT(*) FROM (SELECT 1 FROM sign_ins WHERE expires_at > $1 LIMIT $2) held"
    ];
    OPEN_SIGN_INS_OF = [
        "SELECT COUNT(*) FROM (SELECT 1 FROM sign_ins WHERE place = $1 AND expires_at > $2 LIMIT $3) held"
    ];
    BEGIN_SIGN_IN = ["INSERT INTO sign_ins (browser, place, sealed, expires_at) VALUES ($1, $2, $3, $4)"];
    TAKE_SIGN_IN = ["DELETE FROM sign_ins WHERE browser = $1 RETURNING sealed, expires_at"];
    FORGET_SIGN_INS = [
        "DELETE FROM sign_ins WHERE browser IN
           (SELECT page.browser FROM sign_ins page WHERE page.expires_at <= $1 LIMIT $2)"
    ];
    OPEN_SESSION = ["INSERT INTO sessions (session, principal_id, epoch, expires_at) VALUES ($1, $2, $3, $4)"];
    SESSION = ["SELECT principal_id, epoch FROM sessions WHERE session = $1 AND expires_at > $2"];
    END_SESSION = ["DELETE FROM sessions WHERE session = $1"];
    FORGET_SESSIONS = [
        "DELETE FROM sessions WHERE session IN
           (SELECT page.session FROM sessions page WHERE page.expires_at <= $1 LIMIT $2)"
    ];
    OPEN_DEVICES = [
        "SELECT COUNT(*) FROM (SELECT 1 FROM device_requests WHERE expires_at > $1 LIMIT $2) held"
    ];
    OPEN_DEVICES_OF = [
        "SELECT COUNT(*) FROM (SELECT 1 FROM device_requests WHERE place = $1 AND expires_at > $2 LIMIT $3) held"
    ];
    OPEN_DEVICE = [
        "INSERT INTO device_requests (device, code, place, asked, asked_at, expires_at, wait_seconds)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING"
    ];
    DEVICE_OF_CODE = [
        "SELECT asked, asked_at, expires_at, wait_seconds, polled_at, decision, decided_by, epoch FROM device_requests
          WHERE code = $1"
    ];
    DEVICE = [
        "SELECT asked, asked_at, expires_at, wait_seconds, polled_at, decision, decided_by, epoch FROM device_requests
          WHERE device = $1"
    ];
    HOLD_DEVICE = [
        "SELECT asked, asked_at, expires_at, wait_seconds, polled_at, decision, decided_by, epoch FROM device_requests
          WHERE device = $1" {update}
    ];
    POLLED = ["UPDATE device_requests SET polled_at = $2, wait_seconds = $3 WHERE device = $1"];
    DECIDE = [
        "UPDATE device_requests SET decision = $2, decided_by = $3, epoch = $4
          WHERE code = $1 AND decision = '' AND expires_at > $5"
    ];
    TAKE_DEVICE = ["DELETE FROM device_requests WHERE device = $1"];
    FORGET_DEVICES = [
        "DELETE FROM device_requests WHERE device IN
           (SELECT page.device FROM device_requests page WHERE page.expires_at <= $1 LIMIT $2)"
    ];
}

/// How many may be open at once. Two that begin at the same moment may both be the last: a bound of memory, not a right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenLimits {
    /// All in all.
    pub all: u32,
    /// From one place.
    pub of_place: u32,
}

/// A sign-in whose browser is sent to its provider.
#[derive(Clone, Copy, Debug)]
pub struct NewSignIn<'a> {
    /// The hash of the cookie that was made for it.
    pub browser: &'a str,
    /// From where it comes: an address, or what stands for a network of them.
    pub place: &'a str,
    /// What is needed when the browser is back, sealed.
    pub sealed: &'a str,
    /// Milliseconds since the epoch.
    pub expires_at: i64,
}

/// A browser that somebody is signed in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Who.
    pub principal: PrincipalId,
    /// The epoch of their credentials when they signed in.
    pub epoch: i64,
}

/// A device that is to be signed in.
#[derive(Clone, Copy, Debug)]
pub struct NewDeviceRequest<'a> {
    /// The hash of the device's code.
    pub device: &'a str,
    /// The hash of the person's code.
    pub code: &'a str,
    /// From where it comes.
    pub place: &'a str,
    /// What it asks for, as JSON.
    pub asked: &'a str,
    /// Milliseconds since the epoch.
    pub expires_at: i64,
    /// How long it waits between two questions, in seconds.
    pub wait_seconds: i64,
}

/// What became of a new request of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceOpening {
    /// It is open.
    Opened,
    /// Another has this code; take another one.
    CodeTaken,
    /// As many are open as may be.
    Full,
}

/// What a person decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceDecision {
    /// The device acts for them, whose credentials are of this epoch.
    Approved(PrincipalId, i64),
    /// It does not.
    Denied,
}

/// A request of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRequest {
    /// What it asks for, as JSON.
    pub asked: String,
    /// Milliseconds since the epoch.
    pub asked_at: i64,
    /// Milliseconds since the epoch.
    pub expires_at: i64,
    /// How long it waits between two questions, in seconds.
    pub wait_seconds: i64,
    /// When it last asked; milliseconds since the epoch.
    pub polled_at: Option<i64>,
    /// What was decided, once it was.
    pub decision: Option<DeviceDecision>,
}

impl Metadata {
    /// Who is signed in with a browser, by the hash of its cookie.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn session(&self, session: &str, now: i64) -> Result<Option<Session>, Error> {
        let row = self.row(&SESSION, values![session, now]).await?;
        row.map(|row| Ok(Session { principal: PrincipalId(row.integer(0)?), epoch: row.integer(1)? })).transpose()
    }

    /// The request of the device with this code, by its hash.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn device_request(&self, device: &str) -> Result<Option<DeviceRequest>, Error> {
        self.row(&DEVICE, values![device]).await?.map(|row| request(&row)).transpose()
    }

    /// The request whose person has this code, by its hash.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn device_request_of_code(&self, code: &str) -> Result<Option<DeviceRequest>, Error> {
        self.row(&DEVICE_OF_CODE, values![code]).await?.map(|row| request(&row)).transpose()
    }
}

impl Tx {
    /// Keeps a sign-in until its browser is back; `false` when as many are open as may be.
    ///
    /// # Errors
    /// The database failed.
    pub async fn begin_sign_in(&mut self, new: &NewSignIn<'_>, limits: OpenLimits, now: i64) -> Result<bool, Error> {
        let (all, of_place) = (i64::from(limits.all), i64::from(limits.of_place));
        let of = self.row(&OPEN_SIGN_INS_OF, values![new.place, now, of_place]).await?;
        let open = self.row(&OPEN_SIGN_INS, values![now, all]).await?;
        if number(of)? >= of_place || number(open)? >= all {
            return Ok(false);
        }
        self.execute(&BEGIN_SIGN_IN, values![new.browser, new.place, new.sealed, new.expires_at]).await?;
        Ok(true)
    }

    /// Takes out what was kept for a browser, once; `None` when nothing was, or it is over.
    ///
    /// # Errors
    /// The database failed.
    pub async fn take_sign_in(&mut self, browser: &str, now: i64) -> Result<Option<String>, Error> {
        let Some(row) = self.row(&TAKE_SIGN_IN, values![browser]).await? else { return Ok(None) };
        Ok(if now < row.integer(1)? { Some(row.text(0)?) } else { None })
    }

    /// Signs somebody in with a browser until `expires_at`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn open_session(&mut self, session: &str, of: Session, expires_at: i64) -> Result<(), Error> {
        self.execute(&OPEN_SESSION, values![session, of.principal, of.epoch, expires_at]).await.map(drop)
    }

    /// Ends a session; whether there was one.
    ///
    /// # Errors
    /// The database failed.
    pub async fn end_session(&mut self, session: &str) -> Result<bool, Error> {
        Ok(self.execute(&END_SESSION, values![session]).await? == 1)
    }

    /// Opens a request of a device.
    ///
    /// # Errors
    /// The database failed.
    pub async fn open_device_request(
        &mut self,
        new: &NewDeviceRequest<'_>,
        limits: OpenLimits,
        now: i64,
    ) -> Result<DeviceOpening, Error> {
        let (all, of_place) = (i64::from(limits.all), i64::from(limits.of_place));
        let of = self.row(&OPEN_DEVICES_OF, values![new.place, now, of_place]).await?;
        let open = self.row(&OPEN_DEVICES, values![now, all]).await?;
        if number(of)? >= of_place || number(open)? >= all {
            return Ok(DeviceOpening::Full);
        }
        let values = values![new.device, new.code, new.place, new.asked, now, new.expires_at, new.wait_seconds];
        let opened = self.execute(&OPEN_DEVICE, values).await? == 1;
        Ok(if opened { DeviceOpening::Opened } else { DeviceOpening::CodeTaken })
    }

    /// The request of the device with this code, by its hash, held until the change ends.
    ///
    /// # Errors
    /// The database failed.
    pub async fn hold_device_request(&mut self, device: &str) -> Result<Option<DeviceRequest>, Error> {
        self.row(&HOLD_DEVICE, values![device]).await?.map(|row| request(&row)).transpose()
    }

    /// Notes that a device asked now, and how many seconds it waits until it asks again.
    ///
    /// # Errors
    /// The database failed.
    pub async fn note_device_poll(&mut self, device: &str, wait_seconds: i64, now: i64) -> Result<(), Error> {
        self.execute(&POLLED, values![device, now, wait_seconds]).await.map(drop)
    }

    /// Decides about the request with this code of a person, by its hash; `false` when none is undecided.
    ///
    /// # Errors
    /// The database failed.
    pub async fn decide_device_request(
        &mut self,
        code: &str,
        decision: DeviceDecision,
        now: i64,
    ) -> Result<bool, Error> {
        let (word, by, epoch) = match decision {
            DeviceDecision::Approved(by, epoch) => ("approved", Some(by.0), Some(epoch)),
            DeviceDecision::Denied => ("denied", None, None),
        };
        Ok(self.execute(&DECIDE, values![code, word, by, epoch, now]).await? == 1)
    }

    /// Takes a request out; whether it was still there.
    ///
    /// # Errors
    /// The database failed.
    pub async fn take_device_request(&mut self, device: &str) -> Result<bool, Error> {
        Ok(self.execute(&TAKE_DEVICE, values![device]).await? == 1)
    }

    /// Forgets what has ended by now, at most `limit` of each; how many.
    ///
    /// # Errors
    /// The database failed.
    pub async fn forget_sign_ins(&mut self, now: i64, limit: u32) -> Result<u64, Error> {
        let mut forgotten = 0;
        for statement in [&FORGET_SIGN_INS, &FORGET_SESSIONS, &FORGET_DEVICES] {
            forgotten += self.execute(statement, values![now, i64::from(limit)]).await?;
        }
        Ok(forgotten)
    }
}

fn number(row: Option<Row>) -> Result<i64, Error> {
    row.map_or(Ok(0), |row| row.integer(0))
}

fn request(row: &Row) -> Result<DeviceRequest, Error> {
    let decision = match (row.text(5)?.as_str(), row.maybe_integer(6)?, row.maybe_integer(7)?) {
        ("", _, _) => None,
        ("approved", Some(by), Some(epoch)) => Some(DeviceDecision::Approved(PrincipalId(by), epoch)),
        _ => Some(DeviceDecision::Denied),
    };
    Ok(DeviceRequest {
        asked: row.text(0)?,
        asked_at: row.integer(1)?,
        expires_at: row.integer(2)?,
        wait_seconds: row.integer(3)?,
        polled_at: row.maybe_integer(4)?,
        decision,
    })
}
