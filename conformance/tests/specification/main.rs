//! The specification's clauses as its main branch states them, each a test: what the official suite of that branch walks
//! through, said once more in this house's words, so that a clause that breaks is named.
//! Never what only one client wants: that stands in `clients`. Start at `blobs`.

mod blobs;
mod headers;
mod lists;
mod manifests;
