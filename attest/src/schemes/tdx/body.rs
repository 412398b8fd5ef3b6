//! **Duty.** The TD report inside a quote: three kinds of body, field by field. **Does not know** headers or signatures.
//! **Spec.** EVIDENCE §2.1 (TD10, TD15, TD15-ex).

use weighbridge_attest_types::{TdAttributes, TdxBody, TdxExtension, TdxModule, TdxServiceTd};

use super::quote::CODE;
use crate::error::{EvidenceError, Failure};
use crate::reader::Reader;

/// An SGX enclave's report: lawful in a version 5 quote, and no TD's.
const SGX_ENCLAVE: u16 = 1;
const TD10: u16 = 2;
const TD15: u16 = 3;
const TD15_EXTENDED: u16 = 4;

/// What the TDX module reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TdReport {
    pub(super) td10: Td10,
    /// TDX 1.5 and later.
    pub(super) td15: Option<Td15>,
    /// The extended body only.
    pub(super) extension: Option<TdxExtension>,
}

/// What every TD report has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Td10 {
    pub(super) tee_tcb_svn: [u8; 16],
    pub(super) mrseam: [u8; 48],
    pub(super) mr_signer_seam: [u8; 48],
    pub(super) seam_attributes: [u8; 8],
    pub(super) attributes: TdAttributes,
    pub(super) xfam: u64,
    pub(super) mrtd: [u8; 48],
    pub(super) mr_config_id: [u8; 48],
    pub(super) mr_owner: [u8; 48],
    pub(super) mr_owner_config: [u8; 48],
    pub(super) rtmr: [[u8; 48]; 4],
    pub(super) report_data: [u8; 64],
}

/// What TDX 1.5 adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Td15 {
    /// The current TCB, after a module update that kept the TD running.
    pub(super) tee_tcb_svn2: [u8; 16],
    pub(super) mr_service_td: [u8; 48],
}

impl TdReport {
    /// The module that measured the TD.
    pub(super) const fn module(&self) -> TdxModule {
        let [svn, version, ..] = self.td10.tee_tcb_svn;
        TdxModule {
            mrseam: self.td10.mrseam,
            mr_signer_seam: self.td10.mr_signer_seam,
            attributes: self.td10.seam_attributes,
            version,
            svn,
        }
    }

    /// Which body it came in.
    pub(super) const fn body(&self) -> TdxBody {
        match (&self.td15, &self.extension) {
            (_, Some(_)) => TdxBody::Td15Extended,
            (Some(_), None) => TdxBody::Td15,
            (None, None) => TdxBody::Td10,
        }
    }
}

/// Reads the body of a version 4 quote, or descriptor and body of a version 5 one.
pub(super) fn read(input: &mut Reader<'_>, version: u16) -> Result<TdReport, EvidenceError> {
    let kind = if version == 4 { TD10 } else { input.u16("the body type")? };
    let size = match kind {
        TD10 => 584,
        TD15 => 648,
        TD15_EXTENDED => 885,
        SGX_ENCLAVE => {
            let message = "the quote is about an SGX enclave; enclaves are not weighed here".to_owned();
            return Err(EvidenceError::Unsupported(Failure::new("tdx-body-kind", message).into()));
        }
        _ => return Err(input.malformed(format!("body type {kind} is unknown"))),
    };
    if version == 5 {
        let announced = input.length32("the body size")?;
        if announced != size {
            return Err(input.malformed(format!("body type {kind} has {size} bytes, not {announced}")));
        }
    }
    let mut body = Reader::new(input.take(size, "the TD report")?, CODE);
    let td10 = read_td10(&mut body)?;
    let td15 = if kind == TD10 { None } else { Some(read_td15(&mut body)?) };
    let extension = if kind == TD15_EXTENDED { Some(read_extension(&mut body)?) } else { None };
    body.end("the TD report")?;
    Ok(TdReport { td10, td15, extension })
}

fn read_td10(body: &mut Reader<'_>) -> Result<Td10, EvidenceError> {
    Ok(Td10 {
        tee_tcb_svn: body.array("tee_tcb_svn")?,
        mrseam: body.array("mrseam")?,
        mr_signer_seam: body.array("mrsignerseam")?,
        seam_attributes: body.array("seamattributes")?,
        attributes: TdAttributes(u64::from_le_bytes(body.array("tdattributes")?)),
        xfam: u64::from_le_bytes(body.array("xfam")?),
        mrtd: body.array("mrtd")?,
        mr_config_id: body.array("mrconfigid")?,
        mr_owner: body.array("mrowner")?,
        mr_owner_config: body.array("mrownerconfig")?,
        rtmr: [body.array("rtmr0")?, body.array("rtmr1")?, body.array("rtmr2")?, body.array("rtmr3")?],
        report_data: body.array("report_data")?,
    })
}

fn read_td15(body: &mut Reader<'_>) -> Result<Td15, EvidenceError> {
    Ok(Td15 { tee_tcb_svn2: body.array("tee_tcb_svn2")?, mr_service_td: body.array("mrservicetd")? })
}

fn read_extension(body: &mut Reader<'_>) -> Result<TdxExtension, EvidenceError> {
    Ok(TdxExtension {
        vmid: body.u8("vmid")?,
        td_id: body.array("td_id")?,
        dev_info: body.array("dev_info")?,
        initial_service_td: read_service_td(body)?,
        initial_cpu_svn: body.array("init_cpu_svn")?,
        initial_tee_tcb_svn: body.array("init_tee_tcb_svn")?,
        initial_fmspc: body.array("init_tee_fmspc")?,
        current_service_td: read_service_td(body)?,
    })
}

fn read_service_td(body: &mut Reader<'_>) -> Result<TdxServiceTd, EvidenceError> {
    Ok(TdxServiceTd { hash: body.array("a service TD's hash")?, attributes: body.array("a service TD's attributes")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_body(kind: u16, bytes: &[u8]) -> TdReport {
        let size = u32::try_from(bytes.len()).unwrap();
        let whole = [&kind.to_le_bytes()[..], &size.to_le_bytes(), bytes].concat();
        read(&mut Reader::new(&whole, CODE), 5).unwrap()
    }

    /// Each byte of a body lands in exactly one field, and in the one that the specification names.
    #[test]
    fn fields_are_where_the_specification_puts_them() {
        let bytes: Vec<u8> = (0..885usize).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect();
        let report = read_body(TD15_EXTENDED, &bytes);
        let TdReport { td10, td15: Some(td15), extension: Some(extension) } = &report else { panic!("{report:?}") };
        let from = |at: usize, length: usize| &bytes[at..at + length];
        let fields: [(usize, &[u8]); 22] = [
            (0, &td10.tee_tcb_svn),
            (16, &td10.mrseam),
            (64, &td10.mr_signer_seam),
            (112, &td10.seam_attributes),
            (120, &td10.attributes.0.to_le_bytes()),
            (128, &td10.xfam.to_le_bytes()),
            (136, &td10.mrtd),
            (184, &td10.mr_config_id),
            (232, &td10.mr_owner),
            (280, &td10.mr_owner_config),
            (328, &td10.rtmr.concat()),
            (520, &td10.report_data),
            (584, &td15.tee_tcb_svn2),
            (600, &td15.mr_service_td),
            (648, &[extension.vmid]),
            (649, &extension.td_id),
            (681, &extension.dev_info),
            (729, &extension.initial_service_td.hash),
            (785, &extension.initial_cpu_svn),
            (801, &extension.initial_tee_tcb_svn),
            (817, &extension.initial_fmspc),
            (829, &extension.current_service_td.hash),
        ];
        for (at, field) in fields {
            assert_eq!(field, from(at, field.len()), "{at}");
        }
        assert_eq!(extension.initial_service_td.attributes, from(777, 8));
        assert_eq!(extension.current_service_td.attributes, from(877, 8));
        assert_eq!((report.module().svn, report.module().version), (bytes[0], bytes[1]));
        assert_eq!(report.body(), TdxBody::Td15Extended);
        assert_eq!(read_body(TD15, &bytes[..648]).body(), TdxBody::Td15);
        assert_eq!(read_body(TD10, &bytes[..584]).body(), TdxBody::Td10);
    }
}
