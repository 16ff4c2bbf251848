//! `--timeout`: a session in which nothing moves ends, and one that has nothing to say keeps its peer patient.

use core::{cell::Cell, time::Duration};

use arsync_core::{mux::MsgTag, session::Outbox};

use crate::transport::Activity;

/// Waits until nothing has moved for `seconds`. Meanwhile an empty data frame is queued when nothing was
/// written for half of that time (spec: timeouts and keep-alives).
pub(crate) async fn expire(activity: &Activity, seconds: &Cell<u32>, outbox: &Outbox) {
    let (mut moves, mut writes) = (activity.moves(), activity.writes());
    let (mut still, mut silent) = (0u32, 0u32);
    loop {
        compio::time::sleep(Duration::from_secs(1)).await;
        let limit = seconds.get();
        if activity.moves() != moves {
            moves = activity.moves();
            still = 0;
        } else {
            still += 1;
        }
        if activity.writes() != writes {
            writes = activity.writes();
            silent = 0;
        } else {
            silent += 1;
        }
        if limit == 0 {
            continue;
        }
        if still >= limit {
            return;
        }
        if silent >= limit.div_ceil(2) {
            silent = 0;
            outbox.push(MsgTag::Data, Vec::new());
        }
    }
}
