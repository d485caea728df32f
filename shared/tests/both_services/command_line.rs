//! Checks of the arguments and environment variables that both services share. Each service
//! includes this file in its test `command_line`, which defines `PROGRAM` and `SCOPE`, the scope of
//! its keys.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use super::{PROGRAM, SCOPE};

pub(crate) fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut program = Command::new(PROGRAM);
    let variables = [("TIDEGAUGE_HTTP_LISTEN", "127.0.0.1:0")].iter().chain(variables).copied();
    program.args(arguments).envs(variables).output().unwrap()
}

pub(crate) fn stderr_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_wrong_value_is_reported_with_its_variable_and_what_is_accepted() {
    let output = run(&[], &[("TIDEGAUGE_SHUTDOWN_GRACE", "soon")]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = stderr_of(&output);
    assert!(
        stderr.contains(
            "TIDEGAUGE_SHUTDOWN_GRACE (--shutdown-grace) is \"soon\": expected a duration"
        ),
        "{stderr}"
    );
}

#[test]
fn refuses_to_listen_on_a_public_address_without_tls_and_authentication() {
    let output = run(&["--listen", "0.0.0.0:0"], &[]);
    assert!(!output.status.success());
    let stderr = stderr_of(&output);
    assert!(
        stderr.contains("refusing to listen on 0.0.0.0:0, where others can reach it: TLS is off"),
        "{stderr}"
    );
    assert!(
        stderr.contains("authentication is off")
            && stderr.contains("TIDEGAUGE_INSECURE_LISTEN=true"),
        "{stderr}"
    );
}

#[test]
fn a_certificate_without_its_key_is_reported_with_both_variables() {
    let output = run(&["--listen", "127.0.0.1:0"], &[("TIDEGAUGE_TLS_CERTIFICATE", "/absent")]);
    assert!(!output.status.success());
    assert!(
        stderr_of(&output)
            .contains("TIDEGAUGE_TLS_CERTIFICATE is set, but TIDEGAUGE_TLS_KEY is not")
    );
    let both = [("TIDEGAUGE_TLS_CERTIFICATE", "/absent"), ("TIDEGAUGE_TLS_KEY", "/absent")];
    let output = run(&["--listen", "127.0.0.1:0"], &both);
    assert!(!output.status.success());
    assert!(stderr_of(&output).contains("cannot read \"/absent\""), "{}", stderr_of(&output));
}

#[test]
fn an_invalid_identities_file_ends_the_start() {
    let output = run(&["--listen", "127.0.0.1:0"], &[("TIDEGAUGE_IDENTITIES_FILE", "Cargo.toml")]);
    assert!(!output.status.success());
    assert!(
        stderr_of(&output).contains("TIDEGAUGE_IDENTITIES_FILE is \"Cargo.toml\": "),
        "{}",
        stderr_of(&output)
    );
    let checked = run(&["keys", "check", "Cargo.toml"], &[]);
    assert!(!checked.status.success());
    assert!(stderr_of(&checked).contains("unknown field"), "{}", stderr_of(&checked));
}

#[test]
fn a_new_key_is_printed_apart_from_its_identity_and_hashed_to_the_same() {
    let new = run(&["keys", "new", "--name", "a", "--scope", SCOPE, "--device-prefix", ""], &[]);
    assert!(new.status.success(), "{}", stderr_of(&new));
    let identity = String::from_utf8_lossy(&new.stdout).into_owned();
    let stderr = stderr_of(&new);
    let key = stderr.split_whitespace().find(|word| word.starts_with("tgk_")).unwrap();
    assert!(!identity.contains(key));
    let mut hash = Command::new(PROGRAM);
    let mut hash =
        hash.args(["keys", "hash"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    hash.stdin.take().unwrap().write_all(key.as_bytes()).unwrap();
    let line = String::from_utf8(hash.wait_with_output().unwrap().stdout).unwrap();
    assert!(identity.contains(line.trim()), "{identity}");
}
