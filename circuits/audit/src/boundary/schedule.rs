//! **Duty.** The numbers that a run committed to for a step, and what of a trace's updates does not keep to them: numbers,
//! state that is thrown away, gradients that come from nothing, constants on the way. **Knows** the graph of a trace.
//! **Does not know** bytes, or who committed. **Spec.** CIRCUITS §6 (lr, schedule and optimizer from genesis); decision 0069.
//!
//! The schedule names what is trained; a trace that is silent about one of these names is at fault.

use std::collections::{BTreeMap, BTreeSet};

use crate::boundary::{Fault, FaultKind, before, named};
use crate::trace::{Kind, Operation, Origin, Phase, Tensor, Trace};

/// What a run committed to for one parameter at one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scheduled {
    /// The update with its numbers.
    pub numbers: Kind,
    /// Whether it is the first of the lineage: it has no state to go on from, and no later one may lack it.
    pub is_first: bool,
}

/// What a run committed to for one step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Schedule {
    /// The parameters that are trained at this step, by the checkpoint's name.
    pub updates: BTreeMap<String, Scheduled>,
    /// The constants that operations may carry ([`constants`]): loss scale, clipping, what a tensor is filled with.
    pub constants: Vec<Kind>,
}

/// A constant by its operation and the bits of its number.
type ConstantKey = (u8, u64);

/// The constant of an operation that can turn a gradient into nothing; `None` where it has none. `a + b` has none.
fn constant(kind: &Kind) -> Option<ConstantKey> {
    let (operation, value) = match *kind {
        Kind::Fill { value } => (0, value),
        Kind::Add { alpha } if alpha != 1.0 => (1, alpha),
        Kind::Scale { by: Some(by) } => (2, by),
        Kind::Clip { max_norm } => (3, max_norm),
        _ => return None,
    };
    Some((operation, value.to_bits()))
}

/// The different constants of fills, scalings, clippings and weighted sums in a trace, and in how many operations each is.
#[must_use]
pub fn constants(trace: &Trace<'_>) -> Vec<(Kind, u64)> {
    let mut found: BTreeMap<ConstantKey, (Kind, u64)> = BTreeMap::new();
    for Operation { kind, .. } in trace.operations() {
        if let Some(key) = constant(kind) {
            let (_, count) = found.entry(key).or_insert((*kind, 0));
            *count = count.saturating_add(1);
        }
    }
    found.into_values().collect()
}

/// Holds the updates of a trace to the numbers that the run committed to. Every scheduled parameter is in the next
/// checkpoint, by an update of the tensor that had its name, with its numbers, from the state that was left, and with a
/// gradient that something computed; every other tensor there is one that was left alone, or state of a scheduled parameter.
#[must_use]
pub fn against_schedule(trace: &Trace<'_>, schedule: &Schedule) -> Vec<Fault> {
    let graph = Names { trace, before: named(trace, before), after: named(trace, |tensor| tensor.after.as_deref()) };
    let gradients = Gradients::of(trace);
    let mut faults = Vec::new();
    for (name, scheduled) in &schedule.updates {
        let why = match graph.left(name) {
            None => vec![FaultKind::Missing],
            Some(tensor) => graph.held((name, tensor), scheduled, &gradients),
        };
        faults.extend(why.into_iter().map(|why| Fault { tensor: name.clone(), why }));
    }
    for (name, place) in &graph.after {
        let Some(tensor) = trace.tensor(*place) else { continue };
        let left_alone = tensor.origin() == Some(&Origin::Checkpoint((*name).to_owned()));
        if left_alone || schedule.updates.contains_key(*name) {
            continue;
        }
        let why = match graph.update_of(tensor, name) {
            None => FaultKind::NoUpdate,
            Some(Update { parameter, .. }) if !schedule.updates.contains_key(parameter) => FaultKind::Unscheduled,
            // State, of the update that made the parameter of the next checkpoint and of no other.
            Some(Update { parameter, operation, role }) if role != "param" && graph.makes(parameter, operation) => {
                continue;
            }
            Some(_) => FaultKind::NoUpdate,
        };
        faults.push(Fault { tensor: (*name).to_owned(), why });
    }
    let allowed: BTreeSet<ConstantKey> = schedule.constants.iter().filter_map(constant).collect();
    let is_other = |kind: &Kind| constant(kind).is_some_and(|key| !allowed.contains(&key));
    for Operation { name, kind, .. } in trace.operations().iter().filter(|operation| is_other(&operation.kind)) {
        faults.push(Fault { tensor: name.clone(), why: FaultKind::Constant(*kind) });
    }
    faults
}

/// The state that an update goes on from and leaves: role, and the last part of its name in a checkpoint.
const fn state_of(numbers: &Kind) -> &'static [(&'static str, &'static str)] {
    match numbers {
        Kind::Sgd(sgd) if sgd.momentum != 0.0 => &[("momentum", "momentum_buffer")],
        Kind::AdamW(_) => &[("exp_avg", "exp_avg"), ("exp_avg_sq", "exp_avg_sq")],
        _ => &[],
    }
}

/// A checkpoint's name of a parameter's state (docs/trace-format.md): one parameter's cannot pass as another's.
fn state_name(parameter: &str, key: &str) -> String {
    format!("optimizer/{parameter}/{key}")
}

/// The update that computed a tensor.
struct Update<'t> {
    parameter: &'t str,
    operation: usize,
    role: &'t str,
}

/// A trace with its names before and after the step.
struct Names<'t> {
    trace: &'t Trace<'t>,
    before: BTreeMap<&'t str, usize>,
    after: BTreeMap<&'t str, usize>,
}

impl<'t> Names<'t> {
    /// The tensor that has this name after the step.
    fn left(&self, name: &str) -> Option<&'t Tensor> {
        self.after.get(name).and_then(|place| self.trace.tensor(*place))
    }

    /// What is wrong with a scheduled parameter of the next checkpoint.
    fn held(&self, (name, tensor): (&str, &Tensor), scheduled: &Scheduled, gradients: &Gradients) -> Vec<FaultKind> {
        let update = self.update_of(tensor, name).filter(|update| update.parameter == name && update.role == "param");
        let place = update.map(|update| update.operation);
        let Some((place, operation)) = place.and_then(|place| Some((place, self.trace.operations().get(place)?)))
        else {
            return vec![FaultKind::NoUpdate];
        };
        let mut faults = Vec::new();
        if operation.kind != scheduled.numbers {
            faults.push(FaultKind::OtherNumbers { wanted: scheduled.numbers, found: operation.kind });
        }
        for (role, key) in state_of(&scheduled.numbers) {
            if operation.input(role).is_none() != scheduled.is_first {
                faults.push(FaultKind::State { role, is_first: scheduled.is_first });
            }
            let kept = operation.output(role).and_then(|operand| self.trace.tensor(operand.tensor)?.after.as_deref());
            if kept != Some(&state_name(name, key)) {
                faults.push(FaultKind::StateLost { role });
            }
        }
        if !gradients.is_grounded(place) {
            faults.push(FaultKind::NoGradient);
        }
        faults
    }

    /// The update that computed this tensor in its own place: a parameter from the parameter of that name, state from the
    /// parameter's state of that name, or from none where no tensor of the checkpoint has it.
    fn update_of(&self, tensor: &Tensor, name: &str) -> Option<Update<'t>> {
        let producer = tensor.producer()?;
        let operation = self.trace.operations().get(producer.operation)?;
        if !matches!(operation.kind, Kind::Sgd(_) | Kind::AdamW(_)) {
            return None;
        }
        let whole = |role: &str| {
            let operand = operation.input(role)?;
            let tensor = self.trace.tensor(operand.tensor)?;
            let is_whole = operand.view.is_whole(tensor.elements());
            before(tensor).filter(|_| is_whole)
        };
        let (role, _) = operation.outputs().nth(producer.output)?;
        let parameter = whole("param")?;
        let key = state_of(&operation.kind).iter().find(|(found, _)| *found == role).map(|(_, key)| *key);
        let is_named = if role == "param" { name == parameter } else { state_name(parameter, key?) == name };
        let is_own = match operation.input(role) {
            Some(_) => whole(role)? == name,
            None => !self.before.contains_key(name),
        };
        (is_named && is_own).then_some(Update { parameter, operation: producer.operation, role })
    }

    /// Whether this operation made the parameter that the next checkpoint has.
    fn makes(&self, parameter: &str, operation: usize) -> bool {
        let made = self.left(parameter).and_then(Tensor::producer);
        made.is_some_and(|producer| producer.operation == operation)
    }
}

/// Which updates have a gradient that comes from somewhere.
struct Gradients {
    grounded: BTreeSet<usize>,
}

/// What a tensor was made of.
#[derive(Debug, Clone, Copy, Default)]
struct Made {
    /// Of a product, a loss, or something that the trace does not show; not of constants, checkpoint and batch alone.
    is_live: bool,
    /// Of the product that gives weights' gradients, a column sum of what is live, or something that the trace does not show:
    /// that is counted as declared or unlinked.
    is_gradient: bool,
}

impl Gradients {
    fn of(trace: &Trace<'_>) -> Self {
        let unlinked = |tensor: &Tensor| matches!(tensor.origin(), Some(Origin::Unlinked { .. }));
        let hidden = |is| Made { is_live: is, is_gradient: is };
        let mut made: Vec<Made> = trace.tensors().iter().map(|tensor| hidden(unlinked(tensor))).collect();
        let mut grounded = BTreeSet::new();
        for (place, operation) in trace.operations().iter().enumerate() {
            let of = |role: &str| operation.input(role).and_then(|operand| made.get(operand.tensor)).copied();
            if matches!(operation.kind, Kind::Sgd(_) | Kind::AdamW(_)) {
                if of("grad").is_some_and(|grad| grad.is_gradient) {
                    grounded.insert(place);
                }
                continue;
            }
            let outputs: Vec<(usize, Made)> = operation
                .outputs()
                .enumerate()
                .map(|(at, (_, output))| (output.tensor, made_by(operation, at, &made)))
                .collect();
            for (tensor, found) in outputs {
                if let Some(slot) = made.get_mut(tensor) {
                    *slot = found;
                }
            }
        }
        Self { grounded }
    }

    fn is_grounded(&self, update: usize) -> bool {
        self.grounded.contains(&update)
    }
}

/// What an operation makes its output of; a factor of 0 lets nothing through.
fn made_by(operation: &Operation, output: usize, made: &[Made]) -> Made {
    let of = |tensor: usize| made.get(tensor).copied().unwrap_or_default();
    let role = |role: &str| operation.input(role).map(|operand| of(operand.tensor)).unwrap_or_default();
    let any = |left: Made, right: Made| Made {
        is_live: left.is_live || right.is_live,
        is_gradient: left.is_gradient || right.is_gradient,
    };
    match operation.kind {
        Kind::Matmul(matmul) => {
            Made { is_live: true, is_gradient: matches!(matmul.phase, Phase::Wgrad | Phase::Other) }
        }
        Kind::Opaque { .. } => Made { is_live: true, is_gradient: true },
        Kind::CrossEntropyGrad(_) | Kind::MseGrad(_) => Made { is_live: true, is_gradient: false },
        Kind::ColumnSum => Made { is_live: role("in").is_live, is_gradient: role("in").is_live },
        Kind::Fill { .. } | Kind::Sgd(_) | Kind::AdamW(_) => Made::default(),
        Kind::Scale { by: Some(0.0) } => Made::default(),
        Kind::Add { alpha: 0.0 } => role("a"),
        Kind::ReluGrad => role("grad"),
        Kind::Clip { .. } => operation.inputs().nth(output).map(|(_, operand)| of(operand.tensor)).unwrap_or_default(),
        Kind::View
        | Kind::Cast
        | Kind::Gather
        | Kind::Concat { .. }
        | Kind::Add { .. }
        | Kind::Scale { .. }
        | Kind::Relu => operation.inputs().map(|(_, operand)| of(operand.tensor)).fold(Made::default(), any),
    }
}
