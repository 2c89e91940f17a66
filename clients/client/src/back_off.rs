//! Growing pauses between attempts.

use std::time::Duration;

/// Pauses between attempts: each twice as long as the one before up to a limit, spread over its upper half, so that
/// clients that lost the broker together do not come back together.
#[derive(Clone, Debug)]
pub struct BackOff {
    first: Duration,
    limit: Duration,
    next: Duration,
}

impl BackOff {
    /// Pauses from `first` up to `limit`.
    pub fn new(first: Duration, limit: Duration) -> Self {
        Self {
            first,
            limit,
            next: first,
        }
    }

    /// The next pause.
    pub fn next_pause(&mut self) -> Duration {
        let pause = self.next.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.next = (self.next * 2).min(self.limit);
        pause
    }

    /// Starts again with the first pause, after a success.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_limit_and_start_again() {
        let (first, limit) = (Duration::from_millis(100), Duration::from_millis(450));
        let mut back_off = BackOff::new(first, limit);
        for full in [100, 200, 400, 450, 450] {
            let pause = back_off.next_pause();
            let full = Duration::from_millis(full);
            assert!(pause >= full / 2 && pause <= full, "{pause:?} of {full:?}");
        }
        back_off.reset();
        assert!(back_off.next_pause() <= first);
    }
}
