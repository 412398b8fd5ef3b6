//! Every kind of operation is what it was when it is read back by itself.

use serde_json::{Value, json};

use super::*;
use crate::trace::tests::{floats, small, tensors};

/// A source that nobody reads from.
const NOTHING: &[u8] = &[];

fn forms_of(trace: &Trace<'_>) -> Vec<OperationForm> {
    let root = |place: usize| PoseidonDigest::from_elements([place as u64, 1, 2, 3]);
    (0..trace.operations().len()).map(|place| OperationForm::of(trace, place, 0, &root).unwrap()).collect()
}

fn same(trace: &Trace<'_>) {
    for (place, form) in forms_of(trace).iter().enumerate() {
        let read = OperationForm::parse(form.bytes()).unwrap();
        assert_eq!(&read, form);
        let key = trace.key(place, (0, 0)).unwrap();
        let alone = form.trace(key, &NOTHING).unwrap();
        let (one, whole) = (&alone.operations()[0], &trace.operations()[place]);
        assert_eq!((&one.kind, &one.name, one.micro_batch), (&whole.kind, &whole.name, whole.micro_batch));
        let seen = |trace: &Trace<'_>, operation: &Operation| {
            let all = operation.inputs().chain(operation.outputs());
            let tensor = |place: usize| trace.tensor(place).unwrap().name.clone();
            all.map(|(role, operand)| (role.to_owned(), tensor(operand.tensor), operand.view.clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(seen(&alone, one), seen(trace, whole));
        assert_eq!((alone.unit(), form.part()), (trace.unit(), 0));
    }
}

/// One operation of each kind that has numbers.
fn numbered() -> (Value, Vec<u8>) {
    let list = ["p", "g", "m", "p2", "m2", "v", "p3", "a3", "v3", "s", "f", "k", "c"];
    let rows: Vec<(&str, &[u64], Vec<u8>, &str)> =
        list.iter().map(|name| (*name, &[2u64, 3][..], floats(&[0.5; 6]), "F32")).collect();
    let file = tensors(&rows);
    let described: Vec<Value> =
        list.iter().map(|name| json!({"name": name, "dtype": "F32", "shape": [2, 3]})).collect();
    let whole = |name: &str| json!({"tensor": name});
    let graph = json!({
        "format": "weighbridge/trace/v1", "framework": "by hand", "unit": {"attempt": 2, "step": 11, "rank": 3},
        "tensors_sha256": sha256(&file), "tensors": described,
        "operations": [
            {"op": "sgd", "name": "sgd", "in": {"param": whole("p"), "grad": whole("g"), "momentum": whole("m")},
             "out": {"param": whole("p2"), "momentum": whole("m2")},
             "with": {"lr": "0.1", "momentum": "0.9", "dampening": "0.3", "weight_decay": "1e-5", "nesterov": "false"}},
            {"op": "adamw", "name": "adamw",
             "in": {"param": whole("p"), "grad": whole("g"), "exp_avg": whole("m"), "exp_avg_sq": whole("v")},
             "out": {"param": whole("p3"), "exp_avg": whole("a3"), "exp_avg_sq": whole("v3")},
             "with": {"lr": "3e-4", "beta1": "0.9", "beta2": "0.999", "eps": "1e-8", "weight_decay": "0.1", "step": "7"}},
            {"op": "scale", "name": "scale", "in": {"in": whole("p")}, "out": {"out": whole("s")}, "with": {"by": "0.1"}},
            {"op": "fill", "name": "fill", "in": {}, "out": {"out": whole("f")}, "with": {"value": "-2.5"}},
            {"op": "clip", "name": "clip", "in": {"0": whole("g")}, "out": {"0": whole("k")}, "with": {"max_norm": "1"}},
            {"op": "add", "name": "add", "micro_batch": 4, "in": {"a": whole("p"), "b": whole("g")},
             "out": {"out": whole("c")}, "with": {"alpha": "-0.7"}},
        ]
    });
    (graph, file)
}

#[test]
fn an_operation_by_itself_is_what_it_is_in_its_trace() {
    for (graph, file) in [small(), numbered()] {
        let bytes = graph.to_string();
        same(&Trace::parse(bytes.as_bytes(), &file).unwrap());
    }
}

#[test]
fn everything_is_in_the_digest() {
    let (graph, file) = small();
    let bytes = graph.to_string();
    let trace = Trace::parse(bytes.as_bytes(), &file).unwrap();
    let form = forms_of(&trace).remove(0);
    let text = String::from_utf8(form.bytes().to_vec()).unwrap();
    for (from, to) in [
        ("\"part\":0", "\"part\":1"),
        ("\"forward\"", "\"dgrad\""),
        ("\"batch\":\"x\"", "\"before\":\"x\""),
        ("\"strides\":[1,3]", "\"strides\":[2,1]"),
        ("\"k\":\"3\"", "\"k\":\"2\""),
        ("\"accumulator\":\"F32\"", "\"accumulator\":\"F64\""),
    ] {
        let changed = text.replacen(from, to, 1);
        let Ok(other) = OperationForm::parse(changed.as_bytes()) else { panic!("{from}") };
        assert_eq!(other.digest() == form.digest(), changed == text, "{from}");
    }
}

#[test]
fn bytes_that_are_no_operation_are_refused() {
    let (graph, file) = small();
    let bytes = graph.to_string();
    let trace = Trace::parse(bytes.as_bytes(), &file).unwrap();
    let text = String::from_utf8(forms_of(&trace).remove(0).bytes().to_vec()).unwrap();
    let parse = |text: &str| OperationForm::parse(text.as_bytes()).map(|_| ());
    assert!(parse(&text).is_ok());
    for broken in
        ["", "{}", "[]", &text[1..], &text.replace("operation/v1", "operation/v2"), &text.replacen('{', "{\"x\":1,", 1)]
    {
        assert!(matches!(parse(broken), Err(FormError::Form(_))), "{broken}");
    }
    let long = format!("{text}{}", " ".repeat(MAX_FORM_BYTES));
    assert!(matches!(parse(&long), Err(FormError::TooLarge { .. })));
    // Parsed, and still no operation: a view that leaves its tensor, a tensor that is not there, a shape that does not fit.
    let key = trace.key(0, (0, 0)).unwrap();
    for (from, to) in [("[1,3]", "[9,9]"), ("\"tensor\":\"y\"", "\"tensor\":\"q\""), ("\"m\":\"2\"", "\"m\":\"4\"")] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        let form = OperationForm::parse(changed.as_bytes()).unwrap();
        assert!(form.trace(key, &NOTHING).is_err(), "{from}");
    }
}
