//! Signing a device in, one without a browser, by a code that a signed-in person types in (RFC 8628), from our side: what was
//! asked, what was decided, and who may still come for it.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};

/// How long a code holds, in milliseconds.
pub const LIFETIME: i64 = 10 * 60 * 1000;
/// How many random bytes a request takes: 32 for the device's code, 16 for the person's.
pub const RANDOM_BYTES: usize = 48;

/// How many seconds a device waits between two questions, and how many more each time that it does not.
const INTERVAL: i64 = 5;
/// The letters of the person's code: consonants, so that no word comes out, none that reads like another (RFC 8628 section
/// 6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const CODE_LETTERS: usize = 8;
const CODES: u64 = 20_u64.pow(8);
/// How many requests are open at a time, and how many of them from one place.
const OPEN: usize = 10_000;
const SHARE: usize = 20;
/// How many wrong codes a person may type in within [`LIFETIME`], and of how many people that is remembered.
const WRONG: usize = 5;
const PEOPLE: usize = 10_000;
/// The longest name of a client that is kept, in characters.
const CLIENT: usize = 100;

type Hash = [u8; 32];

/// The requests of devices. Bounded; a process's own.
#[derive(Debug, Default)]
pub struct Devices(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    requests: HashMap<Hash, Request>,
    /// The person's code of each request that is undecided.
    by_code: HashMap<String, Hash>,
    /// Since all hold equally long, the order in which they end.
    order: VecDeque<(i64, Hash)>,
    of_place: HashMap<IpAddr, usize>,
    wrong: HashMap<i64, Vec<i64>>,
}

#[derive(Debug)]
struct Request {
    code: String,
    asked: Asked,
    interval: i64,
    polled_at: Option<i64>,
    decision: Option<Decision>,
}

/// What a device is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// What the device comes back with; 256 random bits, of which only the hash is kept.
    pub device_code: String,
    /// What the person types in, `BCDF-GHJK`.
    pub user_code: String,
    /// Seconds until both end.
    pub expires_in: i64,
    /// Seconds to wait between two questions.
    pub interval: i64,
}

/// Who asks, to be shown to the person before they decide: whoever sends them a code may not be who they think.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What the client calls itself.
    pub client: String,
    /// From where it asks.
    pub place: IpAddr,
    /// When it asked, in milliseconds since 1970.
    pub at: i64,
}

/// What a person decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The device acts for this principal.
    Approve(i64),
    /// It does not.
    Deny,
}

/// The answer to a device that asks (RFC 8628 section 3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poll {
    /// `authorization_pending`.
    Pending,
    /// `slow_down`: it asks too often, and waits so many seconds from now on.
    SlowDown(i64),
    /// `access_denied`. The code is gone.
    Denied,
    /// `expired_token`: the code has ended, was used, or never was.
    Gone,
    /// The device acts for this principal. The code is gone.
    Approved(i64),
}

/// Too many requests are open, all in all or from this place; come back later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many devices are being signed in; try again later")]
pub struct Busy;

/// Why a typed code is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodeRefused {
    /// No undecided request has this code.
    #[error("no device shows this code now; check it, or let the device begin again")]
    Unknown,
    /// This person typed in too many wrong ones.
    #[error("too many wrong codes; try again in ten minutes")]
    TooMany,
}

impl Devices {
    /// Opens a request of `client` at `place`. `random` comes from the system, `now` is in milliseconds since 1970.
    ///
    /// # Errors
    /// [`Busy`].
    pub fn begin(&self, client: &str, place: IpAddr, random: &[u8; RANDOM_BYTES], now: i64) -> Result<Begun, Busy> {
        let mut state = self.state(now);
        let share = state.of_place.get(&network(place)).copied().unwrap_or_default();
        if state.order.len() >= OPEN || share >= SHARE {
            return Err(Busy);
        }
        let (device, person) = random.split_at(32);
        let device_code = URL_SAFE_NO_PAD.encode(device);
        let hash = hash(&device_code);
        let code = state.free_code(person);
        let client = client.chars().filter(|character| !character.is_control()).take(CLIENT).collect();
        let asked = Asked { client, place, at: now };
        state.of_place.insert(network(place), share + 1);
        state.by_code.insert(code.clone(), hash);
        state.order.push_back((now, hash));
        let user_code = format!("{}-{}", &code[..CODE_LETTERS / 2], &code[CODE_LETTERS / 2..]);
        let request = Request { code, asked, interval: INTERVAL, polled_at: None, decision: None };
        state.requests.insert(hash, request);
        Ok(Begun { device_code, user_code, expires_in: LIFETIME / 1000, interval: INTERVAL })
    }

    /// Who asks with this code, which `person`, a principal, typed in: in any case, with or without its dash.
    ///
    /// # Errors
    /// [`CodeRefused`], each variant as it says.
    pub fn look(&self, user_code: &str, person: i64, now: i64) -> Result<Asked, CodeRefused> {
        let mut state = self.state(now);
        let hash = state.find(user_code, person, now)?;
        state.requests.get(&hash).map(|request| request.asked.clone()).ok_or(CodeRefused::Unknown)
    }

    /// Decides about the request with this code, once.
    ///
    /// # Errors
    /// [`CodeRefused`], each variant as it says.
    pub fn decide(&self, user_code: &str, person: i64, decision: Decision, now: i64) -> Result<(), CodeRefused> {
        let mut state = self.state(now);
        let hash = state.find(user_code, person, now)?;
        let request = state.requests.get_mut(&hash).ok_or(CodeRefused::Unknown)?;
        request.decision = Some(decision);
        let code = request.code.clone();
        state.by_code.remove(&code);
        Ok(())
    }

    /// What a device is answered that comes with its code. An approval is told once.
    #[must_use]
    pub fn poll(&self, device_code: &str, now: i64) -> Poll {
        let mut state = self.state(now);
        let hash = hash(device_code);
        let Some(request) = state.requests.get_mut(&hash) else { return Poll::Gone };
        let Some(decision) = request.decision else {
            if !request.polls_too_soon(now) {
                return Poll::Pending;
            }
            request.interval += INTERVAL;
            return Poll::SlowDown(request.interval);
        };
        state.remove(&hash);
        match decision {
            Decision::Approve(principal) => Poll::Approved(principal),
            Decision::Deny => Poll::Denied,
        }
    }

    /// How many requests are open.
    #[must_use]
    pub fn open(&self, now: i64) -> usize {
        self.state(now).requests.len()
    }

    /// The state without what has ended.
    fn state(&self, now: i64) -> MutexGuard<'_, State> {
        // Nothing panics between the changes to the maps.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((at, hash)) = state.order.front().copied()
            && now - at >= LIFETIME
        {
            state.order.pop_front();
            state.remove(&hash);
        }
        state
    }
}

impl Request {
    fn polls_too_soon(&mut self, now: i64) -> bool {
        let before = self.polled_at.replace(now);
        before.is_some_and(|before| now - before < self.interval * 1000)
    }
}

impl State {
    fn remove(&mut self, hash: &Hash) {
        let Some(request) = self.requests.remove(hash) else { return };
        // Another request has the code only after this one was decided.
        if self.by_code.get(&request.code) == Some(hash) {
            self.by_code.remove(&request.code);
        }
        // Its entry in the order stays until it would have ended, and counts against what may be open.
        let place = network(request.asked.place);
        match self.of_place.get_mut(&place) {
            Some(share) if *share > 1 => *share -= 1,
            _ => drop(self.of_place.remove(&place)),
        }
    }

    /// A code that no undecided request has. 128 random bits over 2³⁵ codes leave none likelier than another.
    fn free_code(&self, random: &[u8]) -> String {
        let random = random.iter().fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
        let mut number = u64::try_from(random % u128::from(CODES)).unwrap_or_default();
        loop {
            let code = letters(number);
            if !self.by_code.contains_key(&code) {
                return code;
            }
            number = (number + 1) % CODES;
        }
    }

    /// The undecided request that a person means. Wrong codes are counted by person, since a code that is not there has no
    /// count of its own.
    fn find(&mut self, user_code: &str, person: i64, now: i64) -> Result<Hash, CodeRefused> {
        let wrong = self.wrong.get_mut(&person);
        if let Some(times) = wrong {
            times.retain(|at| now - at < LIFETIME);
            if times.len() >= WRONG {
                return Err(CodeRefused::TooMany);
            }
        }
        if let Some(hash) = normal(user_code).and_then(|code| self.by_code.get(&code)) {
            return Ok(*hash);
        }
        if self.wrong.len() >= PEOPLE {
            self.wrong.retain(|_, times| times.iter().any(|at| now - at < LIFETIME));
        }
        if self.wrong.len() >= PEOPLE && !self.wrong.contains_key(&person) {
            return Err(CodeRefused::TooMany);
        }
        self.wrong.entry(person).or_default().push(now);
        Err(CodeRefused::Unknown)
    }
}

fn letters(mut number: u64) -> String {
    let mut code = String::with_capacity(CODE_LETTERS);
    for _ in 0..CODE_LETTERS {
        code.push(char::from(LETTERS[usize::try_from(number % 20).unwrap_or_default()]));
        number /= 20;
    }
    code
}

/// The code as it is kept, from how a person types it.
fn normal(text: &str) -> Option<String> {
    if text.len() > 4 * CODE_LETTERS {
        return None;
    }
    let letters = text.chars().filter(|character| !matches!(character, '-' | ' '));
    let code: String = letters.map(|character| character.to_ascii_uppercase()).collect();
    (code.len() == CODE_LETTERS && code.bytes().all(|byte| LETTERS.contains(&byte))).then_some(code)
}

fn hash(text: &str) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    hash
}

/// What one place holds: an IPv4 address, or the 64 leading bits of an IPv6 address, behind which are as many as it likes.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}
