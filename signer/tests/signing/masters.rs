//! The master key: where it comes from, and another one in its place.

use hallmark_signer::keys::{Costs, MasterKey, MasterRefused, Masters, OpenRefused, Record, Source, token_purpose};
use hallmark_signer::{CustodyError, Signer, rewrap};
use hallmark_storage::metadata::{Error, TokenKey};
use zeroize::Zeroizing;

use crate::world::{MASTER, NOW, World, first};

/// The setting that holds the record.
const RECORD: &str = "master_key";
const WORDS: &str = "correct horse battery staple";

fn passphrase(words: &str) -> Source {
    Source::Passphrase(Zeroizing::new(words.to_owned()))
}

async fn with_token_keys(world: &World) {
    let master = MasterKey::new(&MASTER);
    for (kid, retires_at) in [("signs", None), ("retired", Some(NOW))] {
        let sealed = master.seal(&token_purpose(kid), [1; 12], kid.as_bytes());
        let key = TokenKey { kid: kid.to_owned(), sealed, public: Vec::new(), created_at: NOW, retires_at };
        let kept: Result<bool, Error> = world.metadata.write(key, |tx, key| Box::pin(tx.insert_token_key(key))).await;
        assert!(kept.unwrap());
    }
}

async fn set_record(world: &World, record: Option<String>) {
    let set: Result<(), Error> =
        world.metadata.write(record, |tx, record| Box::pin(tx.set_setting(RECORD, record.as_deref()))).await;
    set.unwrap();
}

#[tokio::test]
async fn everything_opens_under_the_new_key_and_nothing_under_the_old() {
    let world = World::open().await;
    with_token_keys(&world).await;
    let roles = world.roles().await;
    world.sign(roles.change(&[], &first())).await.unwrap();
    let masters = Masters::of(MasterKey::new(&MASTER));
    let done = rewrap(&world.metadata, &masters, (MasterKey::new(&[9; 32]), None), NOW).await.unwrap();
    assert_eq!((done.data_keys, done.token_keys), (1, 2));
    // The signer that runs signs on, and so does one that starts with the new key.
    world.sign(roles.change(&[], &first())).await.unwrap();
    world.another([9; 32]).await.unwrap().sign(roles.change(&[], &first()), NOW).await.unwrap();
    let refused = world.another(MASTER).await.unwrap_err();
    assert!(matches!(refused, CustodyError::Wrapped { source: OpenRefused::OtherMasterKey, .. }), "{refused:?}");
    for key in world.metadata.token_keys().await.unwrap() {
        let purpose = token_purpose(&key.kid);
        assert_eq!(*MasterKey::new(&[9; 32]).open(&purpose, &key.sealed).unwrap(), key.kid.as_bytes());
        assert_eq!(MasterKey::new(&MASTER).open(&purpose, &key.sealed), Err(OpenRefused::OtherMasterKey));
    }
    // What was sealed under the one before and read before still opens here.
    let old = MasterKey::new(&MASTER).seal("p", [3; 12], b"x");
    assert_eq!(*masters.open("p", &old).unwrap(), b"x");
    let event = world.metadata.setting(RECORD).await.unwrap();
    assert_eq!(event, None);
}

#[tokio::test]
async fn a_key_that_cannot_be_opened_leaves_everything_as_it_was() {
    let world = World::open().await;
    with_token_keys(&world).await;
    let before = (world.metadata.signer_data_keys().await.unwrap(), world.metadata.token_keys().await.unwrap());
    let stranger = Masters::of(MasterKey::new(&[8; 32]));
    rewrap(&world.metadata, &stranger, (MasterKey::new(&[9; 32]), None), NOW).await.unwrap_err();
    let forged = TokenKey { kid: "forged".to_owned(), sealed: vec![1; 60], ..before.1[0].clone() };
    let forged = TokenKey { retires_at: None, ..forged };
    let kept: Result<bool, Error> =
        world.metadata.write(forged.clone(), |tx, key| Box::pin(tx.insert_token_key(key))).await;
    assert!(kept.unwrap());
    let masters = Masters::of(MasterKey::new(&MASTER));
    let refused = rewrap(&world.metadata, &masters, (MasterKey::new(&[9; 32]), None), NOW).await.unwrap_err();
    assert!(refused.to_string().contains("forged"), "{refused}");
    assert_eq!(world.metadata.signer_data_keys().await.unwrap(), before.0);
    world.another(MASTER).await.unwrap();
}

#[tokio::test]
async fn signing_goes_on_while_the_master_key_changes_again_and_again() {
    let world = World::open().await;
    let roles = world.roles().await;
    let masters = Masters::of(MasterKey::new(&MASTER));
    let changes = async {
        for number in 10..20_u8 {
            rewrap(&world.metadata, &masters, (MasterKey::new(&[number; 32]), None), NOW).await.unwrap();
        }
    };
    let signing = async {
        for _ in 0..20 {
            world.sign(roles.change(&[], &first())).await.unwrap();
        }
    };
    tokio::join!(changes, signing);
    world.another([19; 32]).await.unwrap();
}

#[tokio::test]
async fn a_passphrase_opens_what_it_sealed_and_another_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let metadata = World::metadata(&folder).await;
    let first = Masters::unlock(&metadata, &passphrase(WORDS)).await.unwrap();
    Signer::open(metadata.clone(), &first.current(), NOW).await.unwrap();
    let again = Masters::unlock(&metadata, &passphrase(WORDS)).await.unwrap();
    Signer::open(metadata.clone(), &again.current(), NOW).await.unwrap();
    let wrong = Masters::unlock(&metadata, &passphrase("correct horse battery stable")).await.unwrap_err();
    assert!(matches!(wrong, MasterRefused::Passphrase), "{wrong:?}");
    let key = Source::Key(Zeroizing::new(MasterKey::generate_text(&MASTER)));
    let other = Masters::unlock(&metadata, &key).await.unwrap_err();
    assert!(matches!(other, MasterRefused::Kind { sealed: "a passphrase", .. }), "{other:?}");
    let short = Masters::unlock(&World::metadata(&tempfile::tempdir().unwrap()).await, &passphrase("short")).await;
    assert!(matches!(short, Err(MasterRefused::Short)));
}

#[tokio::test]
async fn a_passphrase_takes_the_place_of_a_key_only_by_a_rewrap() {
    let world = World::open().await;
    let refused = Masters::unlock(&world.metadata, &passphrase(WORDS)).await.unwrap_err();
    assert!(matches!(refused, MasterRefused::Kind { sealed: "a key of 32 bytes", .. }), "{refused:?}");
    assert!(refused.to_string().contains("hallmark signer rewrap"), "{refused}");
    let masters = Masters::of(MasterKey::new(&MASTER));
    rewrap(&world.metadata, &masters, passphrase(WORDS).make().unwrap(), NOW).await.unwrap();
    let masters = Masters::unlock(&world.metadata, &passphrase(WORDS)).await.unwrap();
    Signer::open(world.metadata.clone(), &masters.current(), NOW).await.unwrap();
    // And back.
    let key = Source::Key(Zeroizing::new(MasterKey::generate_text(&[5; 32])));
    rewrap(&world.metadata, &masters, key.make().unwrap(), NOW).await.unwrap();
    Masters::unlock(&world.metadata, &key).await.unwrap();
    world.another([5; 32]).await.unwrap();
}

/// Whoever can write the record may neither make the signer take all memory nor make it seal under what they know.
#[tokio::test]
async fn a_changed_record_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let metadata = World::metadata(&folder).await;
    Masters::unlock(&metadata, &passphrase(WORDS)).await.unwrap();
    let text = metadata.setting(RECORD).await.unwrap().unwrap();
    let Record::Passphrase { salt, costs, id } = Record::parse(&text).unwrap() else { panic!("{text}") };
    assert_eq!(costs, Costs::default());
    let world = World::open().await;
    let unlock = async |record: Record| {
        set_record(&world, Some(record.to_text())).await;
        Masters::unlock(&world.metadata, &passphrase(WORDS)).await.map(drop)
    };
    let huge = Costs { memory_kib: u32::MAX, ..costs };
    assert!(matches!(unlock(Record::Passphrase { salt, costs: huge, id }).await, Err(MasterRefused::Costs)));
    let cheap = Costs { memory_kib: 8, passes: 1, lanes: 1 };
    assert!(matches!(unlock(Record::Passphrase { salt, costs: cheap, id }).await, Err(MasterRefused::Passphrase)));
    let salted = Record::Passphrase { salt: [0; 16], costs, id };
    assert!(matches!(unlock(salted).await, Err(MasterRefused::Passphrase)));
    set_record(&world, Some("{\"kind\":\"passphrase\"}".to_owned())).await;
    assert!(matches!(Masters::unlock(&world.metadata, &passphrase(WORDS)).await, Err(MasterRefused::Record)));
}

#[test]
fn no_secret_is_printed() {
    let printed = format!("{:?} {:?}", passphrase(WORDS), Masters::of(MasterKey::new(&MASTER)));
    assert!(!printed.contains("horse") && printed.contains("[secret]"), "{printed}");
}
