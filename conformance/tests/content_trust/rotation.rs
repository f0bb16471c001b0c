//! `notary key rotate`: of every role, and what clients of before and fresh ones see after it.

use hallmark_conformance::{Outcome, check::holds};

use super::{
    client::{Notary, text},
    world::{Held, World},
};

/// A publisher with a first target, and a reader who has seen it.
struct Scene {
    world: World,
    gun: String,
    publisher: Notary,
    old: Notary,
}

impl Scene {
    fn open() -> Outcome<Self> {
        let world = World::new()?;
        let (publisher, gun) = (Notary::admin(&world, "ann")?, world.gun("admin/app"));
        publisher.run(&["init", &gun])?;
        let old = Notary::admin(&world, "old")?;
        let scene = Self { world, gun, publisher, old };
        scene.goes_on("a")?;
        Ok(scene)
    }

    /// Publishes a target, and holds that the publisher, a reader of before and a fresh one list all of them.
    fn goes_on(&self, name: &str) -> Outcome<()> {
        let file = self.publisher.content("file", 500)?;
        self.publisher.run(&["add", &self.gun, name, text(&file)])?;
        self.publisher.run(&["publish", &self.gun])?;
        let held = self.world.held(&self.gun)?.targets("targets");
        holds(held.last().is_some_and(|last| last == name), || format!("{name} is not the last of {held:?}"))?;
        self.all_list(name)
    }

    fn all_list(&self, name: &str) -> Outcome<()> {
        let names = self.world.held(&self.gun)?.targets("targets");
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let fresh =
            Notary::admin(&self.world, &format!("fresh-{name}-{}", self.world.held(&self.gun)?.version("root")))?;
        for client in [&self.publisher, &self.old, &fresh] {
            client.lists(&self.gun, &names)?;
        }
        Ok(())
    }

    /// Rotates the key of a role as `words` say, and holds that it alone changed.
    fn rotates(&self, role: &str, words: &[&str]) -> Outcome<()> {
        let before = self.world.held(&self.gun)?;
        self.publisher.run_answering(&[&["key", "rotate", &self.gun, role], words].concat(), "yes\n")?;
        let after = self.world.held(&self.gun)?;
        let changed = changed(&before, &after);
        holds(changed == [role], || format!("the keys of {changed:?} changed, not of {role}"))?;
        let versions = (before.version("root"), after.version("root"));
        holds(versions.1 == versions.0 + 1, || format!("the root went from {} to {}", versions.0, versions.1))?;
        let earlier = self.world.file(&self.gun, &format!("{}.root", versions.0))?;
        holds(earlier.status == 200 && earlier.json()? == before.0["root"], || "the root of before is gone".into())?;
        self.all_list(role)
    }
}

fn changed(before: &Held, after: &Held) -> Vec<&'static str> {
    let roles = ["root", "targets", "snapshot", "timestamp"];
    roles.into_iter().filter(|role| before.keys(role) != after.keys(role)).collect()
}

#[test]
fn the_servers_keys_are_rotated() -> Outcome<()> {
    let scene = Scene::open()?;
    // The first takes the snapshot's key from the client; the second is from server to server.
    scene.rotates("snapshot", &["-r"])?;
    scene.goes_on("b")?;
    scene.rotates("snapshot", &["-r"])?;
    scene.goes_on("c")?;
    scene.rotates("timestamp", &["-r"])?;
    scene.goes_on("d")
}

#[test]
fn the_clients_keys_are_rotated() -> Outcome<()> {
    let scene = Scene::open()?;
    scene.rotates("targets", &[])?;
    scene.goes_on("b")?;
    scene.rotates("root", &[])?;
    scene.goes_on("c")?;
    // A client may take the snapshot's key back, or rather have it as from the first.
    scene.rotates("snapshot", &[])?;
    scene.goes_on("d")
}
