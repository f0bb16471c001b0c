//! One suite of named clauses for the byte store, run on memory, on a folder and on a real S3 server; then what only one
//! of them can show: disks that are full or read-only, parts that another writer replaced, a server behind TLS.
//! Nothing here knows how bytes are laid out, but for the clauses that damage a file on purpose.
//! Start reading at `clauses`; `harness` makes the stores.
#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as it should be")]

mod clauses;
mod disk;
mod harness;
mod parts;
mod properties;
mod threads;

/// Stamps every clause out for every store.
macro_rules! on_every_store {
    ($($room:ident::$clause:ident)*) => {
        on_every_store! { @store memory; $($room::$clause)* }
        on_every_store! { @store folder; $($room::$clause)* }
        on_every_store! { @store s3; $($room::$clause)* }
    };
    (@store $store:ident; $($room:ident::$clause:ident)*) => {
        mod $store {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $clause() {
                    crate::$room::$clause(&crate::harness::Store::$store()).await;
                }
            )*
        }
    };
}

on_every_store! {
    clauses::what_is_sealed_reads_back
    clauses::a_mark_is_changed_by_who_knows_it
    clauses::a_blob_of_no_bytes_is_a_blob
    clauses::sizes_around_a_part_are_whole
    clauses::any_range_reads_back
    clauses::a_range_beyond_the_end_is_an_error
    clauses::an_absent_key_is_none
    clauses::a_key_may_be_deleted_twice
    clauses::a_deleted_upload_cannot_be_sealed
    clauses::an_upload_goes_on_in_another_process
    clauses::an_upload_may_end_without_another_byte
    clauses::bytes_beyond_the_durable_offset_are_dropped
    clauses::a_tail_is_carried_through_tiny_requests
    clauses::an_abandoned_request_keeps_what_came
    clauses::a_dropped_request_leaves_the_upload_where_it_was
    clauses::a_checkpoint_comes_every_64_mib
    clauses::sha512_is_hashed_as_it_comes
    clauses::a_blob_can_be_hashed_again
    clauses::of_two_writers_none_mixes_the_other_s_bytes
    clauses::a_seal_may_be_tried_again
    clauses::a_part_lists_the_keys_that_begin_with_it_and_no_others
    clauses::a_store_that_works_checks_out
    threads::slow_readers_hold_no_thread
}
