//! **Duty.** The calls whose answers carry a size or a text of the driver's making, asked of the library itself: the
//! wrapper slices its arrays by announced sizes and reads texts to a zero byte that need not be there. **Knows** NVML's
//! structures. **Does not know** threads. **Spec.** EVIDENCE §5.3.

use std::ffi::{CStr, c_char, c_uint};

use nvml_wrapper::error::{nvml_sym, nvml_try};
use nvml_wrapper::{Device, Nvml};
use nvml_wrapper_sys::bindings::{
    NVML_DEVICE_NAME_V2_BUFFER_SIZE, nvmlConfComputeGpuAttestationReport_t, nvmlConfComputeGpuCertificate_t,
    nvmlPciInfo_t,
};

use super::Fault;

/// PEM chain of the attestation key.
pub(super) fn certificate_chain(nvml: &Nvml, device: &Device<'_>) -> Result<Vec<u8>, Fault> {
    let ask = nvml_sym(nvml.lib().nvmlDeviceGetConfComputeGpuCertificate.as_ref())?;
    let mut answer = nvmlConfComputeGpuCertificate_t {
        certChainSize: 0,
        attestationCertChainSize: 0,
        certChain: [0; 4096],
        attestationCertChain: [0; 5120],
    };
    // SAFETY: the handle is this library's, and the structure is the one that this function fills.
    nvml_try(unsafe { ask(device.handle(), &raw mut answer) })?;
    announced(&answer.attestationCertChain, answer.attestationCertChainSize)
}

/// A report that answers `nonce`.
pub(super) fn report(nvml: &Nvml, device: &Device<'_>, nonce: [u8; 32]) -> Result<Vec<u8>, Fault> {
    let ask = nvml_sym(nvml.lib().nvmlDeviceGetConfComputeGpuAttestationReport.as_ref())?;
    let mut answer = nvmlConfComputeGpuAttestationReport_t {
        isCecAttestationReportPresent: 0,
        attestationReportSize: 0,
        cecAttestationReportSize: 0,
        nonce,
        attestationReport: [0; 8192],
        cecAttestationReport: [0; 4096],
    };
    // SAFETY: the handle is this library's, and the structure is the one that this function fills.
    nvml_try(unsafe { ask(device.handle(), &raw mut answer) })?;
    announced(&answer.attestationReport, answer.attestationReportSize)
}

/// Product name, in a buffer that ends in a zero byte whatever the driver writes.
pub(super) fn name(nvml: &Nvml, device: &Device<'_>) -> Result<String, Fault> {
    const ROOM: usize = 97;
    let ask = nvml_sym(nvml.lib().nvmlDeviceGetName.as_ref())?;
    let mut text: [c_char; ROOM] = [0; ROOM];
    // SAFETY: the handle is this library's, and the buffer is longer than the length that the driver is told.
    nvml_try(unsafe { ask(device.handle(), text.as_mut_ptr(), NVML_DEVICE_NAME_V2_BUFFER_SIZE) })?;
    let bytes = text.map(|character| u8::from_ne_bytes(character.to_ne_bytes()));
    let name = CStr::from_bytes_until_nul(&bytes).ok().and_then(|name| name.to_str().ok());
    name.map(str::to_owned).ok_or_else(|| Fault::Answer("a name that is not text".to_owned()))
}

/// PCI device id above vendor id; the texts beside them are not read.
pub(super) fn pci_id(nvml: &Nvml, device: &Device<'_>) -> Result<u32, Fault> {
    let ask = nvml_sym(nvml.lib().nvmlDeviceGetPciInfo_v3.as_ref())?;
    let mut info = nvmlPciInfo_t {
        busIdLegacy: [0; 16],
        domain: 0,
        bus: 0,
        device: 0,
        pciDeviceId: 0,
        pciSubSystemId: 0,
        busId: [0; 32],
    };
    // SAFETY: the handle is this library's, and the structure is the one that this function fills.
    nvml_try(unsafe { ask(device.handle(), &raw mut info) })?;
    Ok(info.pciDeviceId)
}

fn announced(buffer: &[u8], size: c_uint) -> Result<Vec<u8>, Fault> {
    let bytes = usize::try_from(size).ok().and_then(|size| buffer.get(..size)).filter(|bytes| !bytes.is_empty());
    let refused = || Fault::Answer(format!("it announces {size} bytes; 1 to {} are possible", buffer.len()));
    bytes.map(<[u8]>::to_vec).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_outside_of_the_buffer_is_an_error_and_never_a_slice() {
        assert!(matches!(announced(&[1, 2, 3], 2), Ok(bytes) if bytes == [1, 2]));
        for size in [0, 4, c_uint::MAX] {
            let refused = announced(&[1, 2, 3], size);
            let expected = format!("it announces {size} bytes; 1 to 3 are possible");
            assert!(matches!(refused, Err(Fault::Answer(why)) if why == expected), "{size}");
        }
    }
}
