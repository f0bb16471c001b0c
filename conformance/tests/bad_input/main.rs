//! Whatever a stranger sends gets a clear refusal in the specification's envelope and changes nothing.
//! Never looks inside: what "changes nothing" means is what anybody can read over HTTP before and after.
//! Start at `scene`, then at any module: each is a family of bad input.

mod disk;
mod manifests;
mod names;
mod scene;
mod slow;
mod tokens;
mod uploads;
