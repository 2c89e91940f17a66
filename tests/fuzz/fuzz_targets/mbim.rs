//! Arbitrary octets as an MBIM dialogue: see `fuzz::mbim`. Fed by libFuzzer under cargo-fuzz, by `fuzz::replay` otherwise.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| fuzz::mbim::check(octets));

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    fuzz::replay::main("mbim", fuzz::mbim::seeds, fuzz::mbim::check)
}
