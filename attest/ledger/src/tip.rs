//! **Duty.** THE rules by which one interval may follow another; appending and checking both go through here.
//! **Knows** the public facts. **Does not know** signatures. **Spec.** PROTOCOL §3 (Interval, Ledger).

use weighbridge_attest_types::{
    ChainStart, Device, DeviceTime, IntervalPublic, MAX_INTERVAL_MILLIS, MAX_LEDGER_ENTRIES, PoseidonDigest,
    QuotedHead, UnixMillis, WindowCommitment,
};

use crate::{LedgerError, head_0, next_head};

/// Where a chain stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tip {
    /// Index of the last interval; 0 before the first.
    pub(crate) index: u64,
    /// The head after it.
    pub(crate) head: PoseidonDigest,
    last: Option<Last>,
    quoted: Option<u64>,
    /// Index of the next window.
    window: u64,
}

/// What the next interval is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Last {
    boot_id: [u8; 16],
    end_wall: UnixMillis,
    end_mono: u64,
    devices: Vec<Device>,
}

impl Tip {
    pub(crate) fn start(start: &ChainStart) -> Self {
        Self { index: 0, head: head_0(start), last: None, quoted: None, window: 0 }
    }

    /// The tip after one more interval, if it may follow.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub(crate) fn next(&self, public: &IntervalPublic, meter: PoseidonDigest) -> Result<Self, LedgerError> {
        let place = self.follow(public)?;
        Ok(Self { head: next_head(place.index, self.head, meter, public.digest()), ..place })
    }

    /// Every rule and no hash: where the chain would stand, its head left as it is.
    ///
    /// # Errors
    /// The first rule that the interval breaks.
    pub(crate) fn follow(&self, public: &IntervalPublic) -> Result<Self, LedgerError> {
        // No `..`: a new public fact does not compile until somebody decides here what must hold for it.
        let IntervalPublic {
            index,
            boot_id,
            start_wall,
            end_wall,
            start_mono,
            end_mono,
            presence: _,
            devices,
            checkpoints: _,
            windows,
            quoted,
        } = public;
        let index = *index;
        self.check_index(index)?;
        self.check_boot(index, boot_id)?;
        self.check_wall(index, *start_wall, *end_wall)?;
        let millis = self.check_mono(index, *start_mono, *end_mono)?;
        self.check_devices(index, devices)?;
        check_times(index, millis, devices)?;
        self.check_quoted(index, quoted.as_ref())?;
        let window = self.check_windows(index, windows)?;
        let devices = devices.iter().map(|time| time.device).collect();
        Ok(Self {
            index,
            head: self.head,
            last: Some(Last { boot_id: *boot_id, end_wall: *end_wall, end_mono: *end_mono, devices }),
            quoted: quoted.map(|quoted| quoted.index).or(self.quoted),
            window,
        })
    }

    fn check_index(&self, found: u64) -> Result<(), LedgerError> {
        if self.index >= MAX_LEDGER_ENTRIES as u64 {
            return Err(LedgerError::Full);
        }
        let expected = self.index.saturating_add(1);
        if found > expected {
            return Err(LedgerError::Gap { expected, found });
        }
        if found < expected {
            return Err(LedgerError::IndexBack { expected, found });
        }
        Ok(())
    }

    fn check_boot(&self, index: u64, boot_id: &[u8; 16]) -> Result<(), LedgerError> {
        match &self.last {
            Some(last) if last.boot_id != *boot_id => Err(LedgerError::BootChanged { index }),
            _ => Ok(()),
        }
    }

    /// The wall clock may jump forward (it is the host's), never back.
    fn check_wall(&self, index: u64, start: UnixMillis, end: UnixMillis) -> Result<(), LedgerError> {
        let previous = self.last.as_ref().map_or(start, |last| last.end_wall);
        for (previous, found) in [(previous, start), (start, end)] {
            if found < previous {
                return Err(LedgerError::WallBack { index, previous, found });
            }
        }
        Ok(())
    }

    /// The monotonic clock leaves no time out; returns the interval's length.
    fn check_mono(&self, index: u64, start: u64, end: u64) -> Result<u64, LedgerError> {
        let previous = self.last.as_ref().map_or(start, |last| last.end_mono);
        if start < previous {
            return Err(LedgerError::MonoBack { index, previous, found: start });
        }
        if start > previous {
            return Err(LedgerError::NotContiguous { index, previous, found: start });
        }
        end.checked_sub(start).ok_or(LedgerError::MonoBack { index, previous: start, found: end })
    }

    fn check_devices(&self, index: u64, devices: &[DeviceTime]) -> Result<(), LedgerError> {
        if !devices.is_sorted_by(|left, right| left.device < right.device) {
            return Err(LedgerError::DevicesNotAscending { index });
        }
        let found = devices.iter().map(|time| &time.device);
        match &self.last {
            Some(last) if !found.eq(&last.devices) => Err(LedgerError::DevicesChanged { index }),
            _ => Ok(()),
        }
    }

    /// Every window has one root and one place: an index that comes again would be drawn from twice, and one that is missing
    /// not at all. Returns the next index.
    fn check_windows(&self, index: u64, windows: &[WindowCommitment]) -> Result<u64, LedgerError> {
        let mut expected = self.window;
        for WindowCommitment { index: found, root: _ } in windows {
            if *found != expected {
                return Err(LedgerError::WindowOrder { index, expected, found: *found });
            }
            expected = expected.saturating_add(1);
        }
        Ok(expected)
    }

    /// Quotes are cited after they exist, in the order of the heads they cover.
    fn check_quoted(&self, index: u64, quoted: Option<&QuotedHead>) -> Result<(), LedgerError> {
        let Some(&QuotedHead { index: quoted, evidence: _ }) = quoted else { return Ok(()) };
        if quoted >= index {
            return Err(LedgerError::QuotedFuture { index, quoted });
        }
        match self.quoted {
            Some(previous) if quoted < previous => Err(LedgerError::QuotedBack { index, previous, quoted }),
            _ => Ok(()),
        }
    }
}

/// Every millisecond of every device is accounted for; only a pure gap may be long.
fn check_times(index: u64, millis: u64, devices: &[DeviceTime]) -> Result<(), LedgerError> {
    for time in devices {
        let device = time.device;
        let found = time.total().ok_or(LedgerError::SumOverflow { index, device })?;
        if found != millis {
            return Err(LedgerError::DeviceTime { index, device, found, millis });
        }
    }
    let all_gap = !devices.is_empty() && devices.iter().all(|time| time.gap.0 == millis);
    if millis > MAX_INTERVAL_MILLIS && !all_gap {
        return Err(LedgerError::TooLong { index, millis });
    }
    Ok(())
}
