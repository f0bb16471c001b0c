//! Our own client on every case.

use std::path::Path;
use std::sync::Arc;

use hallmark_signer::tuf::{Fetch, Named, UpdateError, find};

use crate::cases::{Expected, all};
use crate::forge::{Files, Forge, NOW, PATH, hex};

pub(crate) fn fetch(files: Files) -> Fetch {
    let files = Arc::new(files);
    Arc::new(move |name, most| {
        let found = files.get(&name).map(|bytes| bytes[..bytes.len().min(most as usize + 1)].to_vec());
        Box::pin(async move { Ok(found) })
    })
}

async fn update(root: &[u8], files: Files, memory: &Path) -> Result<Option<Named>, UpdateError> {
    find(root, PATH, fetch(files), (memory, NOW)).await
}

#[tokio::test]
async fn every_case_is_taken_or_refused_with_its_reason() {
    let mut wrong = Vec::new();
    for case in all() {
        let memory = tempfile::tempdir().unwrap();
        for (number, (files, expected)) in case.steps.into_iter().enumerate() {
            let came = update(&case.root, files, memory.path()).await;
            let is_right = match (&came, &expected) {
                (Ok(Some(named)), Expected::Named(number)) => named.hashes["sha256"] == hex(&[*number; 32]),
                (Ok(None), Expected::Unnamed) => true,
                (Err(error @ UpdateError::Refused { .. }), Expected::Refused(why)) => error.to_string().contains(why),
                _ => false,
            };
            if !is_right {
                wrong.push(format!("{}, step {number}: {came:?} where {expected:?} was expected", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn what_was_refused_is_not_remembered() {
    let mut forge = Forge::new();
    let memory = tempfile::tempdir().unwrap();
    let root = forge.file("1.root.json");
    let whole = forge.files.clone();
    forge.snapshot["meta"]["targets.json"]["version"] = serde_json::json!(0);
    forge.publish_snapshot();
    forge.files.insert("2.snapshot.json".to_owned(), whole["1.snapshot.json"].clone());
    update(&root, forge.files.clone(), memory.path()).await.unwrap_err();
    let stored = std::fs::read(memory.path().join("snapshot.json"));
    assert_eq!(stored.unwrap_err().kind(), std::io::ErrorKind::NotFound);
}

#[tokio::test]
async fn a_file_that_could_not_be_brought_is_told_from_one_that_is_not_there() {
    let forge = Forge::new();
    for broken in ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json", "1.tags.json"] {
        let (inner, memory) = (fetch(forge.files.clone()), tempfile::tempdir().unwrap());
        let failing: Fetch = Arc::new(move |name, most| {
            if name == broken { Box::pin(async { Err("the line is cut".to_owned()) }) } else { inner(name, most) }
        });
        let came = find(&forge.file("1.root.json"), PATH, failing, (memory.path(), NOW)).await;
        assert!(matches!(came, Err(UpdateError::Unreachable(_))), "{broken}: {came:?}");
    }
}

#[tokio::test]
async fn only_the_roles_on_the_way_are_loaded() {
    let mut forge = Forge::new();
    for number in 0..300 {
        forge.delegate("targets", &format!("other{number}"), serde_json::json!({"paths": ["else/*"]}), false);
    }
    forge.publish();
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (inner, memory, told) = (fetch(forge.files.clone()), tempfile::tempdir().unwrap(), Arc::clone(&asked));
    let counting: Fetch = Arc::new(move |name, most| {
        told.lock().unwrap().push(name.clone());
        inner(name, most)
    });
    let found = find(&forge.file("1.root.json"), PATH, counting, (memory.path(), NOW)).await.unwrap();
    assert!(found.is_some());
    let expected = ["2.root.json", "timestamp.json", "2.snapshot.json", "1.targets.json", "1.tags.json"];
    assert_eq!(*asked.lock().unwrap(), expected);
}
