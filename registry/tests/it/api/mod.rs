//! Lives here: the management API, one file for each thing that it manages, and rules that hold on all of them.
//! Never here: what a right allows on an image (`rights`), and how one signs in (`token`, `rights`).
//! Start reading at `matrix.rs`.

mod collecting;
mod document;
mod endpoints;
mod events;
mod explain;
mod filters;
mod grants;
mod hidden;
mod keeping;
mod matrix;
mod me;
mod organizations;
mod quotas;
mod repositories;
mod requests;
mod retention;
mod retention_pulls;
mod retention_races;
mod robots;
mod teams;
mod transfer;
mod trash;
mod users;

use crate::harness::{Answer, Call, Credentials, PASSWORD, World};

fn admin() -> Credentials {
    basic("admin")
}

fn basic(name: &str) -> Credentials {
    Credentials::basic(name, PASSWORD)
}

/// Fails unless the request is answered so, nothing has changed and nothing was recorded.
#[track_caller]
fn refuses<'w>(world: &'w World, call: Call<'w>, status: u16, code: &'w str) -> impl Future<Output = Answer> + 'w {
    let place = std::panic::Location::caller();
    async move {
        let before = world.rows().await;
        let answer = call.await;
        assert_eq!(answer.gist(), (status, code.to_owned()), "at {place}: {answer}");
        assert_eq!(world.rows().await, before, "at {place}: a refusal changed something");
        answer
    }
}

/// Fails unless the request succeeds and leaves exactly one event; the answer, and who did what to what, and how.
#[track_caller]
fn records<'w>(world: &'w World, call: Call<'w>) -> impl Future<Output = (Answer, String)> + 'w {
    let place = std::panic::Location::caller();
    async move {
        let before = world.count_events().await;
        let answer = call.await;
        assert!(answer.status.is_success(), "at {place}: {answer}");
        let mut events = world.events_after(before).await;
        assert_eq!(events.len(), 1, "at {place}: {events:?}");
        (answer, events.remove(0))
    }
}

/// Every page of a list, each of so many entries; what `key` of the entries is.
async fn pages(world: &World, path: &str, by: &Credentials, limit: u32, key: &str) -> Vec<Vec<String>> {
    let (mut pages, mut after) = (Vec::new(), String::new());
    loop {
        let separator = if path.contains('?') { '&' } else { '?' };
        let after_query = if after.is_empty() { String::new() } else { format!("&after={after}") };
        let page =
            world.api("GET", &format!("{path}{separator}limit={limit}{after_query}"), by).await.expect(200).json();
        let items = page["items"].as_array().unwrap();
        pages.push(items.iter().map(|item| item[key].as_str().unwrap().to_owned()).collect());
        match page["next"].as_str() {
            Some(next) => after = url_encoded(next),
            None => return pages,
        }
    }
}

fn url_encoded(text: &str) -> String {
    text.replace('%', "%25").replace(' ', "%20").replace('+', "%2B").replace('&', "%26")
}

/// The entity tag of what a path shows.
async fn tag_of(world: &World, path: &str, by: &Credentials) -> String {
    world.api("GET", path, by).await.expect(200).header("etag").to_owned()
}
