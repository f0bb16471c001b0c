//! What this process gives back to the system.

/// Gives back what the calling thread has freed. A password's hash takes 19 MiB for a moment, and the allocator would keep
/// them until this thread, which may rest for long, allocates again.
pub(crate) fn give_back() {
    #[expect(unsafe_code, reason = "the one call into the allocator; its proof stands beside it")]
    // SAFETY: mi_collect takes no pointer, may be called from any thread at any time, and frees nothing that is in use; in a
    // program that allocates elsewhere it finds nothing.
    unsafe {
        libmimalloc_sys::mi_collect(true);
    }
}
