//! Arbitrary octets as PDUs: see `fuzz::pdu`. Fed by libFuzzer under cargo-fuzz, by `fuzz::replay` otherwise.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| fuzz::pdu::check(octets));

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    fuzz::replay::main("pdu", fuzz::pdu::seeds, fuzz::pdu::check)
}
