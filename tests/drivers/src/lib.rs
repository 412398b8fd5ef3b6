//! **Duty.** Stands in for a node's drivers, so that the shipped `weighbridged` can be run unchanged where there are none:
//! a simulated `libnvidia-ml.so` that the daemon loads by its `nvml_library`, and, preloaded, a folder that behaves like
//! configfs-tsm. **Knows** the C interfaces and a script that a test may change at any time. **Does not know** the daemon.
//! What it makes says `simulated` and is signed under development roots alone. **Spec.** PROTOCOL §9; EVIDENCE §5.

mod counters;
mod nvml;
mod script;
mod tsm;
