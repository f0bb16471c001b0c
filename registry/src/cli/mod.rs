//! Lives here: the command line: what can be typed, what is printed, and the exit code.
//! Never here: what a command does to the registry; a verb asks the running server, or with `--offline` the same code, and
//! those of `remote` ask a registry far away.
//! Start reading at [`main`].

mod ask;
mod config;
mod docker;
mod doctor;
mod gc;
mod output;
mod password;
mod private_file;
mod readonly;
mod remote;
mod repository;
mod serve;
mod settings;
mod shell;
mod signer;
mod token_key;
mod user;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

pub use self::docker::main as docker_credential;
use self::output::Failure;

/// Hallmark, a trusted image registry.
///
/// Settings come from flags, then from HALLMARK_* variables, then from a TOML file (--config FILE, HALLMARK_CONFIG, or
/// hallmark.toml in the data folder); `hallmark config print` shows them all with their places.
///
/// `serve`, `config`, `user`, `repository`, `readonly`, `gc`, `token-key`, `signer` and `doctor` are for the server on this machine. `login`
/// signs in to a registry far away, and `org`, `team`, `repo`, `robot`, `token`, `grant`, `certificate`, `access`, `explain`,
/// `undelete`, `hold`, `policy`, `retention`, `history`, `audit` and `apply` manage it over the network, as do the verbs of `user` with --context.
///
/// Exit codes: 0 done, 1 failed or refused, 2 wrong usage or configuration, 3 no server answers, 4 there is no such thing that
/// you may see, 5 not allowed or not signed in.
#[derive(Debug, Parser)]
#[command(name = "hallmark", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve images until told to stop (SIGTERM or Ctrl-C).
    ///
    /// Told to stop, no request begins any more and running ones end within http.drain_timeout (25 s unless set); 10 s
    /// later the process is gone, whatever it was at. What was acknowledged is durable, and uploads can be resumed.
    Serve(serve::Serve),
    /// Check or show the settings.
    #[command(subcommand)]
    Config(config::ConfigVerb),
    /// Add, remove and list users, and set their passwords; with --context those of a registry far away.
    #[command(subcommand)]
    User(user::UserVerb),
    /// List and delete repositories of the server on this machine, and say who may pull from them.
    #[command(subcommand)]
    Repository(repository::RepositoryVerb),
    /// Refuse writes while pulls go on, or take them again.
    #[command(subcommand)]
    Readonly(readonly::ReadonlyVerb),
    /// Collect what no image needs any more, now or not at all, and say what keeps a digest.
    #[command(subcommand)]
    Gc(gc::GcVerb),
    /// The keys that sign tokens.
    #[command(subcommand)]
    TokenKey(token_key::TokenKeyVerb),
    /// The signer, which holds the keys of content trust: within the server, or a process of its own.
    #[command(subcommand)]
    Signer(signer::SignerVerb),
    /// Check settings, folder, database, store, clock and address, and say what to do.
    Doctor(doctor::Doctor),
    /// Sign in to a registry: the token for it is kept in contexts.toml in your folder of configuration.
    ///
    /// On a terminal you are shown a code, which you approve in a browser; with --user or --password-stdin a password
    /// becomes the token. The folder is $XDG_CONFIG_HOME/hallmark, else ~/.config/hallmark; nobody else can read the file.
    Login(remote::login::Login),
    /// Revoke the token of a context and forget it.
    Logout(remote::login::Logout),
    /// The registries that you are signed in to.
    #[command(subcommand)]
    Context(remote::contexts::ContextVerb),
    /// Organizations and their members, over the network.
    Org(remote::org::Org),
    /// Teams and who is in them, over the network.
    Team(remote::team::Team),
    /// Repositories, over the network.
    Repo(remote::repo::Repo),
    /// Robots, their secrets and rules, over the network.
    Robot(remote::robot::Robot),
    /// Your personal access tokens, over the network.
    Token(remote::token::Token),
    /// Bring back what was deleted or overwritten, over the network.
    Undelete(remote::undelete::Undelete),
    /// Hold manifests so that nothing deletes them: pins and legal holds
    Hold(remote::keep::Hold),
    /// Rules of a repository or an account: which tags do not move, what is kept and what goes
    Policy(remote::keep::Policy),
    /// Say what would go by the rules of a repository
    Retention(remote::keep::Retention),
    /// Set how much accounts and repositories may hold
    Quota(remote::quota::Quota),
    /// Count what an account or a repository holds
    Size(remote::quota::Size),
    /// Show what a tag pointed to and when, over the network.
    History(remote::undelete::History),
    /// Who holds which rights on what, over the network.
    Grant(remote::grant::Grant),
    /// Which client certificates are whose, over the network; for administrators.
    Certificate(remote::certificate::Certificate),
    /// Show what somebody may do in a repository, action by action, over the network.
    Access(remote::explain::Access),
    /// Say why somebody may, or may not, do something in a repository, over the network.
    ///
    /// The answer is no failure: the exit code is 0 also when they may not.
    Explain(remote::explain::Explain),
    /// What happened in the registry, over the network.
    Audit(remote::audit::Audit),
    /// Vouch for what a tag means now, over the network: refused when the tag has moved.
    Sign(remote::sign::Sign),
    /// Say whether somebody vouches for what a tag points to now, by a root that you pinned; the exit code is 0 only then.
    Verify(remote::sign::Verify),
    /// What is signed in a repository, and the root to pin, over the network.
    Trust(remote::trust::Trust),
    /// Make organizations, teams, repositories, robots and grants be what a file says, over the network.
    ///
    /// The file is TOML, or JSON when its name ends in .json or its text begins with a brace. What it does not name stays as
    /// it is; with --prune, what its lists leave out goes, but never a repository and never a user.
    Apply(remote::apply::Apply),
    /// Print the completions for a shell.
    Completion(shell::Completion),
    /// Write the manual pages of every verb into a folder.
    Man(shell::Man),
}

/// Runs what the command line of this process asks for.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.verb {
        Verb::Serve(serve) => serve.run(),
        Verb::Config(verb) => verb.run(),
        Verb::User(verb) => verb.run(),
        Verb::Repository(verb) => verb.run(),
        Verb::Readonly(verb) => verb.run(),
        Verb::Gc(verb) => verb.run(),
        Verb::TokenKey(verb) => verb.run(),
        Verb::Signer(verb) => verb.run(),
        Verb::Doctor(doctor) => doctor.run(),
        Verb::Login(login) => login.run(),
        Verb::Logout(logout) => logout.run(),
        Verb::Context(verb) => verb.run(),
        Verb::Org(org) => org.run(),
        Verb::Team(team) => team.run(),
        Verb::Repo(repo) => repo.run(),
        Verb::Robot(robot) => robot.run(),
        Verb::Token(token) => token.run(),
        Verb::Grant(grant) => grant.run(),
        Verb::Certificate(certificate) => certificate.run(),
        Verb::Undelete(undelete) => undelete.run(),
        Verb::Hold(hold) => hold.run(),
        Verb::Policy(policy) => policy.run(),
        Verb::Retention(retention) => retention.run(),
        Verb::Quota(quota) => quota.run(),
        Verb::Size(size) => size.run(),
        Verb::History(history) => history.run(),
        Verb::Sign(sign) => sign.run(),
        Verb::Verify(verify) => verify.run(),
        Verb::Trust(trust) => trust.run(),
        Verb::Access(access) => access.run(),
        Verb::Explain(explain) => explain.run(),
        Verb::Audit(audit) => audit.run(),
        Verb::Apply(apply) => apply.run(),
        Verb::Completion(completion) => completion.run(&mut Arguments::command()),
        Verb::Man(man) => man.run(Arguments::command()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::complain(&failure);
            failure.code()
        }
    }
}

/// A runtime for a command that waits for one answer.
fn block_on<F: Future>(future: F) -> Result<F::Output, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("the runtime cannot be started: {error}")))?;
    Ok(runtime.block_on(future))
}
