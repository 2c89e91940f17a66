//! A modem that sends anything: see `fuzz::at_session`. Fed by libFuzzer under cargo-fuzz, by `fuzz::replay` otherwise.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| fuzz::at_session::check(octets));

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    fuzz::replay::main("at_session", fuzz::at_session::seeds, fuzz::at_session::check)
}
