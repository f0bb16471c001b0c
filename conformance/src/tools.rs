//! Finds the programs that tests drive. A missing one is a failure that says how to install it.

use std::path::{Path, PathBuf};

use crate::{Failure, Outcome, settings};

/// Who brings a program.
#[derive(Clone, Copy, Debug)]
enum Origin {
    /// A Debian package of this name.
    Debian(&'static str),
    /// The script of this name in `conformance/tools`.
    Script(&'static str),
}

/// Every program the tests may run, and where it comes from.
const PROGRAMS: &[(&str, Origin)] = &[
    ("conformance-main", Origin::Script("official-suites")),
    ("conformance-v1.1.1", Origin::Script("official-suites")),
    ("conformance-2023-11", Origin::Script("official-suites")),
    ("crane", Origin::Script("crane")),
    ("oras", Origin::Script("oras")),
    ("regctl", Origin::Script("regctl")),
    ("distribution", Origin::Script("distribution")),
    ("zot", Origin::Script("zot")),
    ("go-tuf", Origin::Script("go-tuf")),
    ("python-tuf", Origin::Script("python-tuf")),
    ("schemathesis", Origin::Script("schemathesis")),
    ("versitygw", Origin::Script("versitygw")),
    ("docker", Origin::Debian("docker.io")),
    ("docker-28", Origin::Script("docker-cli")),
    ("dockerd", Origin::Debian("docker.io")),
    ("notary", Origin::Debian("notary")),
    ("podman", Origin::Debian("podman")),
    ("skopeo", Origin::Debian("skopeo")),
    ("strace", Origin::Debian("strace")),
    ("nginx", Origin::Debian("nginx-light")),
    ("initdb", Origin::Debian("postgresql-15")),
    ("postgres", Origin::Debian("postgresql-15")),
    ("psql", Origin::Debian("postgresql-client-15")),
    ("mount", Origin::Debian("mount")),
    ("umount", Origin::Debian("mount")),
    ("cc", Origin::Debian("gcc")),
    ("curl", Origin::Debian("curl")),
    ("openssl", Origin::Debian("openssl")),
    ("pkcs11-tool", Origin::Debian("opensc")),
    ("softhsm2-util", Origin::Debian("softhsm2")),
    ("sqlite3", Origin::Debian("sqlite3")),
];

/// Folders that Debian packages put programs in, before the search path: the tests want Debian's own build.
const DEBIAN_FOLDERS: &[&str] = &["/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/lib/postgresql/15/bin"];

/// The full path of an installed program.
///
/// # Errors
/// The program is not installed; the failure names the exact command that installs it.
pub fn locate(name: &str) -> Outcome<PathBuf> {
    let Some((_, origin)) = PROGRAMS.iter().find(|(program, _)| *program == name) else {
        return Err(Failure::new(format!(
            "no program is called {name}: add it to the table in conformance/src/tools.rs"
        )));
    };
    let folders = match origin {
        Origin::Script(_) => vec![settings::tools_folder().join("bin"), settings::tools_folder()],
        Origin::Debian(_) => DEBIAN_FOLDERS.iter().map(PathBuf::from).chain(settings::search_path()).collect(),
    };
    folders
        .into_iter()
        .map(|folder| folder.join(name))
        .find(|path| is_program(path))
        .ok_or_else(|| Failure::new(format!("{name} is not installed: run `{}`", command(*origin))))
}

/// The built server under test.
///
/// # Errors
/// There is no such file; the failure says what to run.
pub fn hallmark() -> Outcome<PathBuf> {
    let binary = settings::binary();
    if is_program(&binary) {
        return Ok(binary);
    }
    Err(Failure::new(format!(
        "{} is not there: run `conformance/run`, or `cargo build -p hallmark` and set HALLMARK_BINARY",
        binary.display()
    )))
}

/// The command that installs what an origin brings.
fn command(origin: Origin) -> String {
    match origin {
        Origin::Debian(package) => format!("apt-get install --no-install-recommends {package}"),
        Origin::Script(script) => format!("conformance/tools/{script}"),
    }
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_no_table_row_is_a_failure_that_names_the_table() {
        let failure = locate("no-such-program").unwrap_err().to_string();
        assert!(failure.contains("conformance/src/tools.rs"), "{failure}");
    }

    #[test]
    fn every_script_that_the_table_names_exists() {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools");
        for (program, origin) in PROGRAMS {
            if let Origin::Script(script) = origin {
                assert!(is_program(&scripts.join(script)), "{program} needs conformance/tools/{script}");
            }
        }
    }
}
