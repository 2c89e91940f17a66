//! Feeds a target without libFuzzer: real inputs, mutated, and some noise, all of it repeatable from a number.
//!
//! It sees no coverage, so it finds less than a fuzzer does. It holds what a fuzzer found on any stable compiler.

use std::process::ExitCode;
use std::time::Instant;

use fastrand::Rng;

/// Longest input; libFuzzer's own default.
const INPUT_MAX: usize = 4096;

/// Octets that standards and parsers treat in a way of their own: lengths at their limits, line ends, the prompt, the
/// escape of the GSM alphabet, Ctrl-Z.
const NOTABLE: &[u8] = &[
    0x00, 0x01, 0x0A, 0x0D, 0x1A, 0x1B, 0x20, 0x22, 0x2B, 0x3E, 0x7F, 0x80, 0x8C, 0xA0, 0xFE, 0xFF,
];

/// `PROGRAM COUNT [SEED]`: feeds `COUNT` inputs. Input `n` depends on `SEED + n` alone, so a failure that names its seed is
/// repeated by `PROGRAM 1 SEED`.
pub fn main(target: &str, seeds: fn() -> Vec<Vec<u8>>, check: fn(&[u8])) -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let (count, first) = match (arguments.next(), arguments.next(), arguments.next()) {
        (Some(Ok(count)), Some(Ok(first)), None) => (count, first),
        (Some(Ok(count)), None, None) => (count, fastrand::u64(..=u64::from(u32::MAX))),
        _ => {
            eprintln!("usage: {target} COUNT [SEED]");
            return ExitCode::from(64);
        }
    };
    let seeds = seeds();
    println!(
        "{target}: {count} inputs from {} real ones, seeds from {first}",
        seeds.len()
    );
    let begin = Instant::now();
    let mut octets = 0;
    for seed in (0..count).map(|n| first.wrapping_add(n)) {
        let input = input(seed, &seeds);
        octets += input.len();
        if std::panic::catch_unwind(|| check(&input)).is_err() {
            eprintln!("{target}: failed with seed {seed}; repeat it with: {target} 1 {seed}");
            eprintln!("{target}: the input is {}", hexadecimal(&input));
            return ExitCode::FAILURE;
        }
    }
    println!(
        "{target}: {count} inputs, {octets} octets, {:.1} s",
        begin.elapsed().as_secs_f32()
    );
    ExitCode::SUCCESS
}

fn input(seed: u64, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut random = Rng::with_seed(seed);
    let mut input = Vec::new();
    // One in ten is noise; the others are one to three real inputs in a row.
    if random.u8(..10) > 0 {
        for _ in 0..random.usize(1..=3) {
            input.extend_from_slice(random.choice(seeds).map_or(&[][..], Vec::as_slice));
        }
        for _ in 0..random.usize(..=8) {
            mutate(&mut input, &mut random);
        }
    } else {
        input.resize_with(random.usize(..=512), || random.u8(..));
    }
    input.truncate(INPUT_MAX);
    input
}

fn mutate(input: &mut Vec<u8>, random: &mut Rng) {
    let place = random.usize(..=input.len());
    let end = (place + random.usize(1..=16)).min(input.len());
    match random.u8(..7) {
        0 => input.truncate(place),
        1 => drop(input.drain(place..end)),
        2 => input.insert(place, random.u8(..)),
        3 => input.insert(place, *random.choice(NOTABLE).unwrap_or(&0)),
        4 => {
            let copy = input[place..end].to_vec();
            let target = random.usize(..=input.len());
            input.splice(target..target, copy);
        }
        5 => input[place..end].reverse(),
        _ => {
            if let Some(octet) = input.get_mut(place) {
                *octet ^= 1 << random.u8(..8);
            }
        }
    }
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
