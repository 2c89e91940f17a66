//! Arbitrary octets as a QMI dialogue: see `fuzz::qmux`. Fed by libFuzzer under cargo-fuzz, by `fuzz::replay` otherwise.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| fuzz::qmux::check(octets));

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    fuzz::replay::main("qmux", fuzz::qmux::seeds, fuzz::qmux::check)
}
