//! **Duty.** The Attester's hands: reads evidence from the platform it runs on. **Knows** device files, configfs and
//! NVML. **Does not know** whether evidence is good: an Attester cannot grade itself. **Spec.** EVIDENCE §5.

mod collector;

pub use collector::{CollectError, Collector, CpuIdentity, DeviceIdentity, collect_set};
