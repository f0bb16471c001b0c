//! Clients that take next to nothing, told by what the transport notes: a kernel's buffers would make each sip a gulp.

use super::super::taking::Taking;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_client_that_sips_is_as_slow_as_one_that_takes_nothing() {
    let (mut taking, begin) = (Taking::default(), Instant::now());
    taking.took(1 << 20, || begin);
    assert_eq!(taking.slow_since(), None, "there was room all the time");
    taking.blocked(begin);
    for second in 1..30 {
        taking.took(500, || begin + SECOND * second);
        taking.blocked(begin + SECOND * second);
        assert_eq!(taking.slow_since(), Some(begin));
    }
}

#[test]
fn a_slow_client_that_takes_enough_begins_again() {
    let (mut taking, begin) = (Taking::default(), Instant::now());
    for second in 1..30 {
        taking.blocked(begin + SECOND * second);
        assert_eq!(taking.slow_since(), Some(begin + SECOND * second));
        taking.took(16 << 10, || begin + SECOND * second);
        assert_eq!(taking.slow_since(), None);
    }
}

#[test]
fn an_old_sip_does_not_count_against_a_later_answer() {
    let (mut taking, begin) = (Taking::default(), Instant::now());
    taking.blocked(begin);
    taking.took(10, || begin);
    assert_eq!(taking.slow_since(), None, "it is not the client's turn");
    taking.blocked(begin + SECOND);
    assert_eq!(taking.slow_since(), Some(begin + SECOND), "there was nothing to take for a while");
    taking.took(10, || begin + SECOND);
    taking.begin();
    taking.blocked(begin + SECOND);
    assert_eq!(taking.slow_since(), Some(begin + SECOND));
}
