//! How the owner's audio is queued, in the one word that crosses to the audio thread: the prebuffer in milliseconds, and
//! above it what the audio is.

use std::time::Duration;

use cellular::pcm::{Buffering, Supply};

const SUPPLY: u32 = 32;

pub(super) fn write(buffering: Buffering) -> u64 {
    let supply: u64 = match buffering.supply {
        Supply::Unknown => 0,
        Supply::Live => 1,
        Supply::Finished => 2,
    };
    let milliseconds = u32::try_from(buffering.prebuffer.as_millis()).unwrap_or(u32::MAX);
    supply << SUPPLY | u64::from(milliseconds)
}

pub(super) fn read(word: u64) -> Buffering {
    Buffering {
        supply: match word >> SUPPLY {
            1 => Supply::Live,
            2 => Supply::Finished,
            _ => Supply::Unknown,
        },
        prebuffer: Duration::from_millis(word & u64::from(u32::MAX)),
    }
}

#[test]
fn what_is_written_is_read() {
    for supply in [Supply::Unknown, Supply::Live, Supply::Finished] {
        for prebuffer in [0, 40, 1000].map(Duration::from_millis) {
            let buffering = Buffering { supply, prebuffer };
            assert_eq!(read(write(buffering)), buffering);
        }
    }
}
