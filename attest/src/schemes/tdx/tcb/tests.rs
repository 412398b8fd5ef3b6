use TcbStatus::{
    ConfigurationNeeded, NotSupported, OutOfDate, OutOfDateConfigurationNeeded, Revoked, SwHardeningNeeded, UpToDate,
};
use serde_json::{Value, json};
use weighbridge_attest_types::TdAttributes;

use super::super::body::{Td10, Td15};
use super::*;

fn components(first: u8) -> Value {
    let mut svns = [0; 16];
    svns[0] = first;
    json!(svns.map(|svn| json!({ "svn": svn })))
}

fn level(sgx: u8, pce: u16, tdx: u8, status: &str, advisory: &str) -> Value {
    json!({
        "tcb": { "sgxtcbcomponents": components(sgx), "pcesvn": pce, "tdxtcbcomponents": components(tdx) },
        "tcbDate": "2024-01-01T00:00:00Z", "tcbStatus": status, "advisoryIDs": [advisory],
    })
}

fn module(id: &str, levels: &Value) -> Value {
    let signer = "00".repeat(48);
    json!({ "id": id, "mrsigner": signer, "attributes": "00".repeat(8), "attributesMask": "ff".repeat(8), "tcbLevels": levels })
}

fn info(levels: &Value, modules: &Value) -> TcbInfo {
    serde_json::from_value(json!({
        "id": "TDX", "version": 3, "issueDate": "", "nextUpdate": "", "fmspc": "", "pceId": "", "tcbType": 0,
        "tcbEvaluationDataNumber": 17, "tdxModule": module("", &json!([])),
        "tdxModuleIdentities": modules, "tcbLevels": levels,
    }))
    .unwrap()
}

fn identity(levels: &Value) -> QeIdentity {
    serde_json::from_value(json!({
        "id": "TD_QE", "version": 2, "issueDate": "", "nextUpdate": "", "tcbEvaluationDataNumber": 17,
        "miscselect": "00000000", "miscselectMask": "ffffffff", "attributes": "11".to_owned() + &"00".repeat(15),
        "attributesMask": "fb".to_owned() + &"ff".repeat(15), "mrsigner": "22".repeat(32), "isvprodid": 2,
        "tcbLevels": levels,
    }))
    .unwrap()
}

fn isv(svn: u16, status: &str) -> Value {
    let date = format!("2023-01-{svn:02}T00:00:00Z");
    json!({ "tcb": { "isvsvn": svn }, "tcbDate": date, "tcbStatus": status, "advisoryIDs": [format!("E{svn}")] })
}

fn platform(sgx: u8, pce_svn: u16) -> PckFacts {
    let mut sgx_svn = [0; 16];
    sgx_svn[0] = sgx;
    let (ppid, fmspc, pce_id) = ([0; 16], [0; 6], [0; 2]);
    let (instance, dynamic, cached_keys, smt) = (None, None, None, None);
    PckFacts { ppid, fmspc, pce_id, pce_svn, sgx_svn, sgx_type: 1, instance, dynamic, cached_keys, smt }
}

fn report(svn: [u8; 2], current: Option<[u8; 2]>) -> TdReport {
    let whole = |[a, b]: [u8; 2]| {
        let mut bytes = [0; 16];
        (bytes[0], bytes[1]) = (a, b);
        bytes
    };
    let td10 = Td10 {
        tee_tcb_svn: whole(svn),
        mrseam: [0; 48],
        mr_signer_seam: [0; 48],
        seam_attributes: [0; 8],
        attributes: TdAttributes(0),
        xfam: 0,
        mrtd: [0; 48],
        mr_config_id: [0; 48],
        mr_owner: [0; 48],
        mr_owner_config: [0; 48],
        rtmr: [[0; 48]; 4],
        report_data: [0; 64],
    };
    let td15 = current.map(|svn| Td15 { tee_tcb_svn2: whole(svn), mr_service_td: [0; 48] });
    TdReport { td10, td15, extension: None }
}

fn qe(isv_svn: u16) -> QeReport {
    let mut attributes = [0; 16];
    attributes[0] = 0x15;
    QeReport { misc_select: [0; 4], attributes, mr_signer: [0x22; 32], isv_prod_id: 2, isv_svn, report_data: [0; 64] }
}

fn status(sgx: u8, svn: [u8; 2], current: Option<[u8; 2]>, qe_svn: u16) -> TcbStatus {
    evaluation(sgx, svn, current, qe_svn).status
}

fn evaluation(sgx: u8, svn: [u8; 2], current: Option<[u8; 2]>, qe_svn: u16) -> Evaluation {
    // Ascending on purpose: the order of the JSON must not matter.
    let levels = json!([
        level(1, 5, 1, "OutOfDate", "A1"),
        level(3, 5, 3, "UpToDate", "A3"),
        level(2, 5, 3, "ConfigurationNeeded", "A2")
    ]);
    let modules = json!([
        module("TDX_01", &json!([isv(2, "OutOfDate"), isv(4, "UpToDate")])),
        module("TDX_03", &json!([isv(3, "Revoked"), isv(5, "UpToDate")]))
    ]);
    let enclave = identity(&json!([isv(4, "UpToDate"), isv(2, "OutOfDate")]));
    evaluate(&info(&levels, &modules), &enclave, &platform(sgx, 5), &report(svn, current), &qe(qe_svn)).unwrap()
}

#[test]
fn the_highest_level_that_is_met_counts() {
    assert_eq!(status(3, [3, 0], None, 4), UpToDate);
    assert_eq!(status(3, [2, 0], None, 4), OutOfDate);
    assert_eq!(status(1, [9, 0], None, 4), OutOfDate);
    assert_eq!(status(3, [0, 0], None, 4), NotSupported);
    assert_eq!(status(0, [9, 0], None, 4), NotSupported);
}

#[test]
fn a_versioned_module_is_judged_by_its_own_identity() {
    // Component 0 alone would be too low for every level but the skipped comparison leaves it to the identity.
    assert_eq!(status(3, [4, 1], None, 4), UpToDate);
    assert_eq!(status(3, [2, 1], None, 4), OutOfDate);
    assert_eq!(status(2, [2, 1], None, 4), OutOfDateConfigurationNeeded);
    assert_eq!(status(3, [1, 1], None, 4), NotSupported);
    assert_eq!(status(3, [9, 2], None, 4), NotSupported);
    assert_eq!(status(3, [3, 3], None, 4), Revoked);
}

#[test]
fn the_quoting_enclave_pulls_the_status_down() {
    assert_eq!(status(3, [4, 1], None, 3), OutOfDate);
    assert_eq!(status(3, [4, 1], None, 1), NotSupported);
}

#[test]
fn a_current_module_does_not_heal_an_old_launch() {
    assert_eq!(status(3, [2, 1], Some([4, 1]), 4), OutOfDate);
    assert_eq!(status(2, [2, 1], Some([4, 1]), 4), OutOfDateConfigurationNeeded);
    assert_eq!(status(3, [4, 1], Some([4, 1]), 4), UpToDate);
    assert_eq!(status(3, [4, 1], Some([3, 3]), 4), Revoked);
    assert_eq!(status(3, [4, 1], Some([1, 1]), 4), NotSupported);
}

#[test]
fn a_relaunch_is_advised_where_it_would_mend_the_status() {
    let advised = |sgx, launch, current| {
        let found = evaluation(sgx, launch, Some(current), 4);
        (found.relaunch_advised, found.status, found.current.unwrap().status)
    };
    assert_eq!(advised(3, [2, 1], [4, 1]), (true, OutOfDate, UpToDate));
    assert_eq!(advised(2, [2, 1], [4, 1]), (true, OutOfDateConfigurationNeeded, ConfigurationNeeded));
    assert_eq!(advised(3, [2, 1], [2, 1]), (false, OutOfDate, OutOfDate));
    assert_eq!(advised(3, [4, 1], [4, 1]), (false, UpToDate, UpToDate));
    assert_eq!(advised(3, [2, 1], [3, 3]), (false, Revoked, Revoked));
    assert_eq!(advised(3, [2, 1], [1, 1]), (false, NotSupported, NotSupported));
    assert!(!evaluation(3, [2, 1], None, 4).relaunch_advised);
}

#[test]
fn age_is_told_apart_from_everything_else() {
    let day = |day: u64| UnixMillis(1_672_531_200_000 + (day - 1) * 86_400_000);
    let of = |sgx, svn, current, qe_svn| {
        let found = evaluation(sgx, svn, current, qe_svn);
        (found.without_age, found.out_of_date_level)
    };
    assert_eq!(of(3, [4, 1], None, 4), (UpToDate, None));
    // The module's level is of the second of January, the enclave's too, the platform's of a year later.
    assert_eq!(of(3, [2, 1], None, 4), (UpToDate, Some(day(2))));
    assert_eq!(of(2, [2, 1], None, 4), (ConfigurationNeeded, Some(day(2))));
    assert_eq!(of(3, [4, 1], None, 3), (UpToDate, Some(day(2))));
    assert_eq!(of(1, [4, 1], None, 4), (UpToDate, Some(UnixMillis(1_704_067_200_000))));
    assert_eq!(of(3, [4, 1], Some([2, 1]), 4), (UpToDate, Some(day(2))));
    assert_eq!(of(3, [1, 1], None, 4), (NotSupported, None));
    assert_eq!(of(3, [3, 3], None, 4), (Revoked, None));
    let dates = |svn, qe_svn| {
        let found = evaluation(3, svn, None, qe_svn);
        (found.level_date, found.enclave_date)
    };
    assert_eq!(dates([4, 1], 4), (Some(day(4)), Some(day(4))));
    assert_eq!(dates([4, 1], 1), (Some(day(4)), None));
    assert_eq!(dates([0, 0], 4), (None, Some(day(4))));
}

#[test]
fn a_level_without_a_date_is_no_level() {
    let mut undated = level(1, 5, 1, "UpToDate", "A1");
    undated["tcbDate"] = "soon".into();
    assert!(serde_json::from_value::<Level<PlatformTcb>>(undated).is_err());
}

#[test]
fn advisories_are_united() {
    let info = info(
        &json!([level(1, 0, 0, "SWHardeningNeeded", "A1")]),
        &json!([module("TDX_01", &json!([isv(1, "UpToDate")]))]),
    );
    let found =
        evaluate(&info, &identity(&json!([isv(2, "UpToDate")])), &platform(1, 0), &report([1, 1], None), &qe(2))
            .unwrap();
    assert_eq!(found.status, SwHardeningNeeded);
    assert_eq!(found.advisories.into_iter().collect::<Vec<_>>(), ["A1", "E1", "E2"]);
}

#[test]
fn another_module_or_enclave_is_not_the_one_that_is_spoken_of() {
    let info = info(&json!([]), &json!([]));
    let enclave = identity(&json!([]));
    let mut td = report([0, 0], None);
    td.td10.seam_attributes[7] = 1;
    let mut quoting = qe(4);
    quoting.mr_signer[0] = 0;
    let failures = evaluate(&info, &enclave, &platform(1, 1), &td, &quoting).unwrap_err();
    assert_eq!(failures.iter().map(|failure| failure.code).collect::<Vec<_>>(), ["tdx-module-identity", "qe-identity"]);
    let changes: [fn(&mut QeReport); 3] =
        [|qe| qe.isv_prod_id = 1, |qe| qe.misc_select[0] = 1, |qe| qe.attributes[0] = 0x13];
    for change in changes {
        let mut changed = qe(4);
        change(&mut changed);
        assert!(evaluate(&info, &enclave, &platform(1, 1), &report([0, 0], None), &changed).is_err());
    }
}
