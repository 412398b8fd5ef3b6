//! **Duty.** The profiles that ship with this version. **Knows** their files only. **Spec.** COMPUTE §2.

use super::ThresholdProfile;

const FILES: [&str; 8] = [
    include_str!("../../profiles/eu-ai-act-51-2.json"),
    include_str!("../../profiles/eu-gpai-2-1.json"),
    include_str!("../../profiles/eu-modifier-systemic.json"),
    include_str!("../../profiles/eu-modifier-gpai.json"),
    include_str!("../../profiles/us-ca-sb-53.json"),
    include_str!("../../profiles/us-ny-raise.json"),
    include_str!("../../profiles/us-eo-14110.json"),
    include_str!("../../profiles/demo.json"),
];

/// The profiles that ship with this version, in the order in which reports list them.
///
/// # Panics
/// Never in a build whose tests passed: the data files are part of the source.
#[must_use]
pub fn built_in_profiles() -> Vec<ThresholdProfile> {
    #[expect(clippy::expect_used, reason = "compiled-in data, parsed by a test")]
    FILES.iter().map(|json| ThresholdProfile::parse(json).expect("built-in profile")).collect()
}
