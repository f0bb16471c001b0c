//! The `hallmark` program.

fn main() -> std::process::ExitCode {
    hallmark::cli::main()
}
