//! What goes with the victims of rules in the end, by the collector: their children, what refers to them, and their signatures, and
//! what goes with those in turn.

use std::collections::{BTreeMap, BTreeSet};

use hallmark_gc::retention::{Image, Refers, Victim};
use hallmark_storage::metadata::{self, Followers, ManifestId, RepositoryId};

use super::PAGE;
use crate::app::App;

/// What becomes of a repository once victims are gone.
pub(super) struct Fate {
    images: Vec<Image>,
    /// How many indices that stay name each manifest.
    parents: BTreeMap<i64, usize>,
    /// Manifests whose subject goes.
    bereft: BTreeSet<i64>,
    /// How many tags of each manifest go: by a rule, or with what they sign.
    untagged: BTreeMap<i64, usize>,
    gone: BTreeSet<i64>,
    /// Those of them whose followers are not known yet.
    unasked: Vec<i64>,
}

impl Fate {
    /// The victims that go themselves, and what goes with them as far as the images tell.
    pub(super) fn of(images: Vec<Image>, victims: &[Victim]) -> Self {
        let mut parents: BTreeMap<i64, usize> = BTreeMap::new();
        for child in images.iter().flat_map(|image| &image.children) {
            *parents.entry(*child).or_default() += 1;
        }
        let gone: BTreeSet<i64> = victims.iter().filter(|victim| victim.whole).map(|victim| victim.image).collect();
        let next = gone.iter().copied().collect();
        // Of those that stay themselves some tags go all the same.
        let of_others = victims.iter().filter(|victim| !victim.whole);
        let untagged = of_others.map(|victim| (victim.image, victim.tags.len())).collect();
        let (bereft, unasked) = (BTreeSet::new(), Vec::new());
        let mut fate = Self { images, parents, bereft, untagged, gone, unasked };
        fate.take(next);
        fate
    }

    /// Follows what goes until nothing more goes with it.
    pub(super) async fn followed(
        mut self,
        app: &App,
        repository: RepositoryId,
    ) -> Result<BTreeSet<ManifestId>, metadata::Error> {
        while !self.unasked.is_empty() {
            let page = self.unasked.split_off(self.unasked.len().saturating_sub(PAGE as usize));
            let followers = app.metadata.followers(repository, page.into_iter().map(ManifestId)).await?;
            self.lose(&followers);
        }
        Ok(self.gone.into_iter().map(ManifestId).collect())
    }

    /// Takes what followed something that is gone, unless something else keeps it.
    fn lose(&mut self, followers: &Followers) {
        for signature in &followers.signing {
            *self.untagged.entry(signature.0).or_default() += 1;
        }
        self.bereft.extend(followers.referring.iter().map(|id| id.0));
        let lost = followers.signing.iter().chain(&followers.referring);
        let next = lost.map(|id| id.0).filter(|id| self.follows(*id)).collect::<BTreeSet<i64>>();
        let next = next.into_iter().filter(|id| self.gone.insert(*id)).collect();
        self.take(next);
    }

    /// Takes these, which are gone, from what they name.
    fn take(&mut self, mut next: Vec<i64>) {
        while let Some(id) = next.pop() {
            self.unasked.push(id);
            let children = self.find(id).map(|image| image.children.clone()).unwrap_or_default();
            for child in children {
                if let Some(left) = self.parents.get_mut(&child) {
                    *left -= 1;
                }
                if self.follows(child) && self.gone.insert(child) {
                    next.push(child);
                }
            }
        }
    }

    /// Whether nothing keeps a manifest any more that has lost what it belonged to.
    fn follows(&self, id: i64) -> bool {
        let Some(image) = self.find(id) else { return false };
        let of = |counts: &BTreeMap<i64, usize>| counts.get(&id).copied().unwrap_or_default();
        let has_subject = image.refers == Refers::Here && !self.bereft.contains(&id);
        !image.held && of(&self.parents) == 0 && of(&self.untagged) >= image.tags.len() && !has_subject
    }

    fn find(&self, id: i64) -> Option<&Image> {
        let place = self.images.binary_search_by_key(&id, |image| image.id).ok()?;
        self.images.get(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(id: i64, tags: &[&str], children: &[i64]) -> Image {
        let tags = tags.iter().map(|tag| ((*tag).to_owned(), 0)).collect();
        Image { id, tags, children: children.to_vec(), ..Image::default() }
    }

    fn victim(image: i64) -> Victim {
        Victim { image, tags: Vec::new(), whole: true, rule: String::new(), against: Vec::new() }
    }

    fn ids(ids: &[i64]) -> Vec<ManifestId> {
        ids.iter().copied().map(ManifestId).collect()
    }

    fn gone(images: &[Image], followers: &[Followers]) -> Vec<i64> {
        let mut fate = Fate::of(images.to_vec(), &[victim(1)]);
        for followers in followers {
            fate.lose(followers);
        }
        fate.gone.into_iter().collect()
    }

    #[test]
    fn children_go_that_nothing_else_keeps() {
        let images = [image(1, &["v1"], &[2, 3, 4, 5]), image(2, &[], &[]), image(3, &["own"], &[])];
        let held = Image { held: true, ..image(4, &[], &[]) };
        let subject = Image { refers: Refers::Here, ..image(5, &[], &[]) };
        let images = [&images[..], &[held, subject, image(6, &["v2"], &[7]), image(7, &[], &[])]].concat();
        assert_eq!(gone(&images, &[]), [1, 2], "a tag, a hold and a subject that stays keep the others");
        let bereft = Followers { referring: ids(&[5]), signing: Vec::new() };
        assert_eq!(gone(&images, &[bereft]), [1, 2, 5]);
    }

    #[test]
    fn what_signs_goes_with_its_last_tag_and_what_it_names() {
        let images = [image(1, &["v1"], &[]), image(2, &["a.sig", "b.sig"], &[3]), image(3, &[], &[])];
        let signs = || Followers { referring: Vec::new(), signing: ids(&[2]) };
        assert_eq!(gone(&images, &[signs()]), [1], "it signs another that stays");
        assert_eq!(gone(&images, &[signs(), signs()]), [1, 2, 3]);
        let both = Followers { signing: ids(&[2, 2]), ..signs() };
        assert_eq!(gone(&images, &[both]), [1, 2, 3], "each is asked for its own followers once");
    }
}
