//! Clients that push all the while, and write down what they were told.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use hallmark_conformance::{
    Failure, Outcome,
    check::{holds, refused},
    http::{Request, Response},
    image::Image,
    registry::{Registry, with_query},
    server::Server,
};

/// Clients that push beside each other, each into a repository of its own.
const CLIENTS: usize = 4;
/// A layer in one part, and one in several: the least part of S3 is 5 MiB.
const LAYERS: [usize; 2] = [50_000, 12 << 20];
/// How long a client may take to come through, or to be refused: the registry itself tries a store for half a minute.
const TURN_LIMIT: Duration = Duration::from_secs(180);

/// What one client was told.
#[derive(Default)]
struct Told {
    /// The digests of the manifests that were answered 201.
    acknowledged: Vec<String>,
    /// How often it was asked to come back.
    refused: usize,
    /// What it must never be told.
    wrong: Option<String>,
}

#[derive(Default)]
struct Shared {
    told: Mutex<Vec<Told>>,
    changed: Condvar,
    stop: AtomicBool,
}

impl Shared {
    fn told(&self) -> MutexGuard<'_, Vec<Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, client: usize, note: impl FnOnce(&mut Told)) {
        note(&mut self.told()[client]);
        self.changed.notify_all();
    }
}

/// Running clients.
pub(crate) struct Pushers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Pushers {
    pub(crate) fn start(server: &Server) -> Outcome<Self> {
        let shared =
            Arc::new(Shared { told: Mutex::new((0..CLIENTS).map(|_| Told::default()).collect()), ..Shared::default() });
        let mut threads = Vec::new();
        for client in 0..CLIENTS {
            let (shared, registry) = (Arc::clone(&shared), server.registry());
            // The token is had before anything goes away: whoever has none is refused at its door, which says the same.
            registry.begin_upload(&repository(client))?;
            threads.push(std::thread::spawn(move || push_on(client, &registry, &shared)));
        }
        Ok(Self { shared, threads })
    }

    /// Waits until each client has come through once more.
    pub(crate) fn each_is_acknowledged(&self) -> Outcome<()> {
        self.each("acknowledged", |told| told.acknowledged.len())
    }

    /// Waits until each client was refused once more, and asked to come back.
    pub(crate) fn each_is_asked_to_come_back(&self) -> Outcome<()> {
        self.each("asked to come back", |told| told.refused)
    }

    fn each(&self, what: &str, count: impl Fn(&Told) -> usize) -> Outcome<()> {
        let told = self.shared.told();
        let before: Vec<usize> = told.iter().map(&count).collect();
        let waits = |told: &mut Vec<Told>| {
            let on = told.iter().zip(&before).all(|(told, before)| count(told) > *before);
            !on && told.iter().all(|told| told.wrong.is_none())
        };
        let waited = self.shared.changed.wait_timeout_while(told, TURN_LIMIT, waits);
        let (told, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if let Some(wrong) = told.iter().find_map(|told| told.wrong.as_ref()) {
            return Err(Failure::new(wrong.clone()));
        }
        holds(!waited.timed_out(), || format!("not every client was {what} within {TURN_LIMIT:?}"))
    }

    /// Ends the clients after what they are at, and gives what they were told.
    pub(crate) fn stop(self) -> Outcome<Acknowledged> {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().map_err(|_| Failure::new("a client panicked"))?;
        }
        let told = std::mem::take(&mut *self.shared.told());
        if let Some(wrong) = told.iter().find_map(|told| told.wrong.clone()) {
            return Err(Failure::new(wrong));
        }
        Ok(Acknowledged(told.into_iter().map(|told| told.acknowledged).collect()))
    }
}

/// The digests of each client's manifests.
pub(crate) struct Acknowledged(Vec<Vec<String>>);

impl Acknowledged {
    /// Holds that every manifest pulls whole, down to its blobs' bytes.
    pub(crate) fn are_all_there(&self, server: &Server) -> Outcome<()> {
        let registry = server.registry();
        for (client, digests) in self.0.iter().enumerate() {
            for digest in digests {
                registry.check_image(&repository(client), digest)?;
            }
        }
        Ok(())
    }
}

fn repository(client: usize) -> String {
    format!("admin/client-{client}")
}

/// Pushes one image after another; one that was refused is begun again, as clients do.
fn push_on(client: usize, registry: &Registry, shared: &Shared) {
    for number in 0.. {
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        let image = Image::random((client * 10_000 + number) as u64, &LAYERS);
        let pushed = push(registry, &repository(client), &image);
        let wrong = pushed.as_ref().err().map(ToString::to_string);
        shared.note(client, |told| match pushed {
            Ok(None) => told.acknowledged.push(image.manifest.digest.clone()),
            Ok(Some(refusal)) => match is_request_for_patience(&refusal) {
                Ok(()) => told.refused += 1,
                Err(failure) => told.wrong = Some(failure.to_string()),
            },
            Err(_) => told.wrong = wrong,
        });
    }
}

/// Pushes an image, and gives the answer that refused it, if one did.
fn push(registry: &Registry, repository: &str, image: &Image) -> Outcome<Option<Response>> {
    for blob in image.blobs() {
        let begin = Request::new("POST", format!("/v2/{repository}/blobs/uploads/"));
        let begun = registry.client().send(&begin)?;
        if begun.status != 202 {
            return Ok(Some(begun));
        }
        let location = begun.required("location")?;
        let half = blob.bytes.len() / 2;
        let appended = registry.append(location, 0, &blob.bytes[..half])?;
        if appended.status != 202 {
            return Ok(Some(appended));
        }
        let target = with_query(appended.required("location")?, "digest", &blob.digest);
        let finish = Request::new("PUT", target).header("Content-Type", "application/octet-stream");
        let finished = registry.client().send(&finish.bytes(&blob.bytes[half..]))?;
        if finished.status != 201 {
            return Ok(Some(finished));
        }
    }
    let put = registry.put_manifest(repository, &image.manifest.digest, &image.manifest)?;
    Ok((put.status != 201).then_some(put))
}

/// Holds that a refusal is 503 in the envelope, and says when to come again.
fn is_request_for_patience(answer: &Response) -> Outcome<()> {
    refused(answer, &[503], &["UNAVAILABLE"])?;
    let seconds = answer.required("retry-after")?.parse::<u32>();
    holds(seconds.is_ok_and(|seconds| seconds > 0), || format!("Retry-After is no time: {answer}"))
}
