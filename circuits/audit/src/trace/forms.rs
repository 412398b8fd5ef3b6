//! **Duty.** THE table of operations: which operands, outputs and parameters each has by name. **Does not know** what
//! they compute. **Spec.** docs/trace-format.md (Operations).

use crate::trace::error::TraceError;
use crate::trace::graph::{Entries, GraphOperand, GraphOperation, clipped};

/// The names that an operation's parts have.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) op: &'static str,
    inputs: Roles,
    outputs: Roles,
    parameters: Roles,
}

/// Names that must be there and names that may.
#[derive(Debug)]
enum Roles {
    Named {
        must: &'static [&'static str],
        may: &'static [&'static str],
    },
    /// `0`, `1`, …: as many as there are, at least one.
    Counted,
    /// Any names.
    Free,
}

const NONE: Roles = all(&[]);

const fn all(must: &'static [&'static str]) -> Roles {
    Roles::Named { must, may: &[] }
}

const fn some(must: &'static [&'static str], may: &'static [&'static str]) -> Roles {
    Roles::Named { must, may }
}

const fn form(op: &'static str, inputs: Roles, outputs: Roles, parameters: Roles) -> Form {
    Form { op, inputs, outputs, parameters }
}

/// One line for each operation.
static FORMS: [Form; 17] = [
    form("matmul", some(&["a", "b"], &["bias"]), all(&["c"]), all(&["phase", "m", "n", "k", "format", "accumulator"])),
    form("view", all(&["in"]), all(&["out"]), NONE),
    form("cast", all(&["in"]), all(&["out"]), NONE),
    form("gather", all(&["table", "index"]), all(&["out"]), NONE),
    form("concat", Roles::Counted, all(&["out"]), all(&["dim"])),
    form("fill", NONE, all(&["out"]), all(&["value"])),
    form("add", all(&["a", "b"]), all(&["out"]), some(&[], &["alpha"])),
    form("scale", some(&["in"], &["factor"]), all(&["out"]), some(&[], &["by"])),
    form("relu", all(&["in"]), all(&["out"]), NONE),
    form("relu-grad", all(&["x", "grad"]), all(&["out"]), NONE),
    form("cross-entropy-grad", some(&["logits", "targets"], &["grad"]), all(&["out"]), all(&["reduction"])),
    form("mse-grad", some(&["prediction", "target"], &["grad"]), all(&["out"]), all(&["reduction"])),
    form("column-sum", all(&["in"]), all(&["out"]), NONE),
    form("clip", Roles::Counted, Roles::Counted, all(&["max_norm"])),
    form(
        "sgd",
        some(&["param", "grad"], &["momentum"]),
        some(&["param"], &["momentum"]),
        some(&["lr"], &["momentum", "dampening", "weight_decay", "nesterov"]),
    ),
    form(
        "adamw",
        some(&["param", "grad"], &["exp_avg", "exp_avg_sq"]),
        all(&["param", "exp_avg", "exp_avg_sq"]),
        all(&["lr", "beta1", "beta2", "eps", "weight_decay", "step"]),
    ),
    form("opaque", Roles::Free, Roles::Free, some(&[], &["flop"])),
];

/// Finds the form of an operation and holds its names to it.
pub(super) fn form_of(operation: &GraphOperation) -> Result<&'static Form, TraceError> {
    let GraphOperation { op, name, inputs, outputs, parameters, .. } = operation;
    let Some(form) = FORMS.iter().find(|form| form.op == op) else {
        return Err(TraceError::UnknownOperation { operation: name.clone(), op: clipped(op) });
    };
    let keys = |Entries(list): &Entries<GraphOperand>| list.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
    form.inputs.hold(name, &keys(inputs))?;
    form.outputs.hold(name, &keys(outputs))?;
    form.parameters.hold(name, &parameters.0.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>())?;
    Ok(form)
}

impl Roles {
    fn hold(&self, operation: &str, found: &[String]) -> Result<(), TraceError> {
        let refused =
            |field: &str, why| Err(TraceError::Field { operation: operation.to_owned(), field: clipped(field), why });
        match self {
            Self::Free => Ok(()),
            Self::Counted if found.is_empty() => refused("0", "is missing"),
            Self::Counted => match found.iter().enumerate().find(|(at, role)| **role != at.to_string()) {
                Some((_, role)) => refused(role, "is out of the order 0, 1, 2, …"),
                None => Ok(()),
            },
            Self::Named { must, may } => {
                if let Some(role) = must.iter().find(|role| !found.iter().any(|found| found == *role)) {
                    return refused(role, "is missing");
                }
                match found.iter().find(|role| !must.iter().chain(*may).any(|known| known == role)) {
                    Some(role) => refused(role, "does not belong to this operation"),
                    None => Ok(()),
                }
            }
        }
    }
}
