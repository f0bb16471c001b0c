//! The `hallmark` program.

use mimalloc::MiMalloc;

/// A request allocates a few dozen small things on one thread and frees them on the same: a tenth of its processor time
/// with the system's allocator.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> std::process::ExitCode {
    hallmark::cli::main()
}
