//! The `docker-credential-hallmark` program: where docker and podman keep their passwords.

fn main() -> std::process::ExitCode {
    hallmark::cli::docker_credential()
}
