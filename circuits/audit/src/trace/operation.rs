//! **Duty.** Operations as types: what each one's operands are and what its numbers mean, with shapes and formats that fit.
//! **Knows** tensors by place, shape and data type. **Does not know** their bytes. **Spec.** docs/trace-format.md.

use crate::trace::error::TraceError;
use crate::trace::format::{FloatFormat, is_index};
use crate::trace::view::View;

/// One operation of a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// Its name: of the framework's module, for people.
    pub name: String,
    /// Micro-batch that it belongs to; they ascend along a trace.
    pub micro_batch: u16,
    /// What it computes.
    pub kind: Kind,
    pub(super) inputs: Vec<(Box<str>, Operand)>,
    pub(super) outputs: Vec<(Box<str>, Operand)>,
}

/// A tensor, seen through a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operand {
    /// Place of the tensor in the trace.
    pub tensor: usize,
    /// Which of its elements.
    pub view: View,
}

/// What an operation computes, with its numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// `c = a·b (+ bias)`.
    Matmul(Matmul),
    /// The same elements: reshaped, transposed, split or made contiguous.
    View,
    /// The same numbers in another format.
    Cast,
    /// Rows of a table by their index.
    Gather,
    /// Several tensors along one dimension.
    Concat {
        /// The dimension.
        dim: usize,
    },
    /// One number everywhere.
    Fill {
        /// The number.
        value: f64,
    },
    /// `a + alpha·b`: bias, residual and accumulation.
    Add {
        /// The factor of `b`.
        alpha: f64,
    },
    /// `in · factor` or `in · by`: loss scale, clipping, products of elements.
    Scale {
        /// A constant; `None` where the factor is an operand.
        by: Option<f64>,
    },
    /// `max(in, 0)`.
    Relu,
    /// `grad` where `x > 0`, else 0.
    ReluGrad,
    /// Gradient of softmax cross-entropy.
    CrossEntropyGrad(Reduction),
    /// Gradient of the mean square error.
    MseGrad(Reduction),
    /// Sum over rows: the gradient of a bias.
    ColumnSum,
    /// Gradients scaled so that their common norm is at most this.
    Clip {
        /// The norm.
        max_norm: f64,
    },
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// Adam with decoupled weight decay.
    AdamW(AdamW),
    /// Not covered: `declared`.
    Opaque {
        /// FLOP that the trace states for it; `None` when it says nothing, which is not 0.
        flop: Option<u64>,
    },
}

/// A matrix product, perhaps several of one shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matmul {
    /// Which of a layer's products.
    pub phase: Phase,
    /// Products of this shape.
    pub batch: u64,
    /// Rows of `a` and `c`.
    pub m: u64,
    /// Columns of `b` and `c`.
    pub n: u64,
    /// Columns of `a`, rows of `b`.
    pub k: u64,
    /// Format in which operands enter the product.
    pub format: MatmulFormat,
    /// Format in which products are summed, by the trace's word.
    pub accumulator: FloatFormat,
}

/// Which of a layer's three products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Activations.
    Forward,
    /// Gradient of activations.
    Dgrad,
    /// Gradient of weights.
    Wgrad,
    /// Not told apart.
    Other,
}

/// Format in which operands enter a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatmulFormat {
    /// That of the operands.
    Plain(FloatFormat),
    /// F32 operands, cut to TF32 by the tensor core.
    Tf32,
}

/// How a loss is reduced over the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduction {
    /// Divided by the number of targets that count, or of elements.
    Mean,
    /// Summed.
    Sum,
}

/// Numbers of an SGD update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd {
    /// Learning rate.
    pub lr: f64,
    /// Momentum; 0 without.
    pub momentum: f64,
    /// Dampening of momentum.
    pub dampening: f64,
    /// L2 penalty.
    pub weight_decay: f64,
    /// Nesterov's momentum.
    pub nesterov: bool,
}

/// Numbers of an AdamW update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second.
    pub beta2: f64,
    /// Added to the root.
    pub eps: f64,
    /// Decoupled decay.
    pub weight_decay: f64,
    /// Number of this update, from 1.
    pub step: u64,
}

/// What a shape rule sees of an operand.
struct Seen<'a> {
    shape: &'a [u64],
    strides: &'a [u64],
    elements: u64,
    dtype: &'static str,
    float: Option<FloatFormat>,
}

impl Operation {
    /// An operand by its role.
    #[must_use]
    pub fn input(&self, role: &str) -> Option<&Operand> {
        self.inputs.iter().find(|(found, _)| **found == *role).map(|(_, operand)| operand)
    }

    /// An output by its role.
    #[must_use]
    pub fn output(&self, role: &str) -> Option<&Operand> {
        self.outputs.iter().find(|(found, _)| **found == *role).map(|(_, operand)| operand)
    }

    /// All operands with their roles.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, &Operand)> {
        self.inputs.iter().map(|(role, operand)| (&**role, operand))
    }

    /// All outputs with their roles; each is a whole tensor.
    pub fn outputs(&self) -> impl Iterator<Item = (&str, &Operand)> {
        self.outputs.iter().map(|(role, operand)| (&**role, operand))
    }

    /// FLOP by the dense convention; `None` when the trace does not say, or says 0 of something that nobody looks into.
    /// Operations other than products count as none.
    #[must_use]
    pub fn flop(&self) -> Option<u128> {
        match self.kind {
            Kind::Matmul(Matmul { batch, m, n, k, .. }) => {
                let extents = [batch, m, n, k].map(u128::from);
                Some(extents.into_iter().fold(2, u128::saturating_mul))
            }
            Kind::Opaque { flop } => flop.filter(|flop| *flop > 0).map(u128::from),
            _ => Some(0),
        }
    }

    /// Elements of all outputs: the weight of this operation among links (CIRCUITS §6), apart from FLOP.
    #[must_use]
    pub fn link_weight(&self) -> u64 {
        self.outputs.iter().fold(0, |sum, (_, out)| sum.saturating_add(out.view.elements()))
    }

    /// Holds shapes and formats to what the operation needs.
    pub(super) fn hold(&self, dtype_of: &dyn Fn(usize) -> &'static str) -> Result<(), TraceError> {
        let operands = Operands { inputs: seen_of(&self.inputs, dtype_of), outputs: seen_of(&self.outputs, dtype_of) };
        operands.fit(&self.kind).map_err(|why| TraceError::Misfit { operation: self.name.clone(), why })
    }
}

fn seen_of<'a>(list: &'a [(Box<str>, Operand)], dtype_of: &dyn Fn(usize) -> &'static str) -> Vec<(String, Seen<'a>)> {
    let seen = |(role, Operand { tensor, view }): &'a (Box<str>, Operand)| {
        let dtype = dtype_of(*tensor);
        let (shape, strides, elements) = (view.shape(), view.strides(), view.elements());
        (String::from(&**role), Seen { shape, strides, elements, dtype, float: FloatFormat::of(dtype) })
    };
    list.iter().map(seen).collect()
}

impl Seen<'_> {
    /// Whether other coordinates in this dimension are other elements.
    fn walks(&self, dim: usize) -> bool {
        self.strides.get(dim).is_some_and(|stride| *stride != 0) || self.shape.get(dim) == Some(&1)
    }
}

struct Operands<'a> {
    inputs: Vec<(String, Seen<'a>)>,
    outputs: Vec<(String, Seen<'a>)>,
}

type Fit = Result<(), &'static str>;

const fn hold(holds: bool, why: &'static str) -> Fit {
    if holds { Ok(()) } else { Err(why) }
}

impl Operands<'_> {
    fn fit(&self, kind: &Kind) -> Fit {
        match kind {
            Kind::Matmul(matmul) => self.matmul(matmul),
            Kind::View => {
                self.elementwise(&["in"])?;
                hold(self.one("in")?.dtype == self.out()?.dtype, "a view keeps the data type")
            }
            Kind::Cast | Kind::Relu | Kind::Scale { by: Some(_) } => {
                hold(self.maybe("factor").is_none(), "a constant `by` and an operand `factor` exclude each other")?;
                self.floats()?;
                self.elementwise(&["in"])
            }
            Kind::Scale { by: None } => {
                self.floats()?;
                self.elementwise(&["in", "factor"])
            }
            Kind::Gather => self.gather(),
            Kind::Concat { dim } => self.concat(*dim),
            Kind::Fill { .. } => self.floats(),
            Kind::Add { .. } => {
                self.floats()?;
                self.elementwise(&["a", "b"])
            }
            Kind::ReluGrad => {
                self.floats()?;
                self.elementwise(&["x", "grad"])
            }
            Kind::CrossEntropyGrad(_) => self.cross_entropy(),
            Kind::MseGrad(_) => {
                self.floats()?;
                self.scalar_grad()?;
                self.elementwise(&["prediction", "target"])
            }
            Kind::ColumnSum => {
                self.floats()?;
                let [_, cols] = self.one("in")?.shape else { return Err("it sums the columns of a matrix") };
                let rows = self.one("in")?.walks(0);
                hold(rows, "a sum does not take one row again and again")?;
                hold(self.out()?.elements == *cols, "there is one sum for each column")
            }
            Kind::Clip { .. } => self.clip(),
            Kind::Sgd(_) => self.update(&["param", "grad", "momentum"]),
            Kind::AdamW(AdamW { step, .. }) => {
                let moments = (self.maybe("exp_avg").is_some(), self.maybe("exp_avg_sq").is_some());
                hold(
                    moments == (true, true) || (moments == (false, false) && *step == 1),
                    "only the first update may lack both moments",
                )?;
                self.update(&["param", "grad", "exp_avg", "exp_avg_sq"])
            }
            Kind::Opaque { .. } => Ok(()),
        }
    }

    fn maybe(&self, role: &str) -> Option<&Seen<'_>> {
        self.inputs.iter().find(|(found, _)| found == role).map(|(_, seen)| seen)
    }

    fn one(&self, role: &str) -> Result<&Seen<'_>, &'static str> {
        self.maybe(role).ok_or("an operand is missing")
    }

    fn out(&self) -> Result<&Seen<'_>, &'static str> {
        self.outputs.first().map(|(_, seen)| seen).ok_or("an output is missing")
    }

    fn floats(&self) -> Fit {
        let all = self.inputs.iter().chain(&self.outputs).all(|(_, seen)| seen.float.is_some());
        hold(all, "its operands and outputs are BF16, F16, F32 or F64")
    }

    /// Operands with as many elements as the output.
    fn elementwise(&self, roles: &[&str]) -> Fit {
        let wanted = self.out()?.elements;
        for role in roles {
            hold(self.one(role)?.elements == wanted, "operands and output have equally many elements")?;
        }
        Ok(())
    }

    fn scalar_grad(&self) -> Fit {
        hold(self.maybe("grad").is_none_or(|grad| grad.elements == 1), "`grad` is the one gradient of the loss")
    }

    fn matmul(&self, Matmul { batch, m, n, k, format, .. }: &Matmul) -> Fit {
        self.floats()?;
        let (a, b, c) = (self.one("a")?, self.one("b")?, self.out()?);
        let shaped = |seen: &Seen<'_>, rows: u64, cols: u64| match seen.shape {
            [found_rows, found_cols] => *batch == 1 && (*found_rows, *found_cols) == (rows, cols),
            [found, found_rows, found_cols] => (*found, *found_rows, *found_cols) == (*batch, rows, cols),
            _ => false,
        };
        hold(shaped(a, *m, *k), "`a` has shape [m, k]")?;
        hold(shaped(b, *k, *n), "`b` has shape [k, n]")?;
        hold(shaped(c, *m, *n), "`c` has shape [m, n]")?;
        // Otherwise k is whatever the graph says, and not a length that something has.
        let (of_a, of_b) = (a.shape.len().saturating_sub(1), b.shape.len().saturating_sub(2));
        hold(a.walks(of_a) || b.walks(of_b), "along k, `a` or `b` takes one element again and again")?;
        hold(a.dtype == b.dtype, "`a` and `b` have one format")?;
        let entered = match format {
            MatmulFormat::Plain(format) => format.name() == a.dtype,
            MatmulFormat::Tf32 => a.dtype == "F32",
        };
        hold(entered, "`format` is that of the operands, or TF32 over F32")?;
        let bias = self.maybe("bias");
        hold(bias.is_none_or(|bias| bias.shape == [*n] && bias.dtype == a.dtype), "`bias` has shape [n] and the format")
    }

    fn gather(&self) -> Fit {
        let (table, index, out) = (self.one("table")?, self.one("index")?, self.out()?);
        let [_, width] = table.shape else { return Err("`table` is a matrix") };
        hold(is_index(index.dtype), "`index` is U8, I16, I32 or I64")?;
        hold(table.dtype == out.dtype, "rows keep their data type")?;
        hold(index.elements.checked_mul(*width) == Some(out.elements), "each index gives one row of `table`")
    }

    fn concat(&self, dim: usize) -> Fit {
        let out = self.out()?;
        let along = *out.shape.get(dim).ok_or("`dim` is a dimension of the output")?;
        let mut sum = 0u64;
        for (_, part) in &self.inputs {
            hold(part.dtype == out.dtype, "parts keep their data type")?;
            hold(part.shape.len() == out.shape.len(), "parts have as many dimensions as the output")?;
            let same = |(at, (part, out)): (usize, (&u64, &u64))| at == dim || part == out;
            hold(part.shape.iter().zip(out.shape).enumerate().all(same), "parts differ along `dim` alone")?;
            sum = sum.saturating_add(part.shape.get(dim).copied().unwrap_or_default());
        }
        hold(sum == along, "parts fill the output along `dim`")
    }

    fn cross_entropy(&self) -> Fit {
        let (logits, targets, out) = (self.one("logits")?, self.one("targets")?, self.out()?);
        let [rows, _] = logits.shape else { return Err("`logits` has shape [rows, classes]") };
        hold(logits.float.is_some() && out.float.is_some(), "logits and gradient are BF16, F16, F32 or F64")?;
        hold(is_index(targets.dtype) && targets.elements == *rows, "`targets` has one class for each row")?;
        hold(self.maybe("grad").is_none_or(|grad| grad.float.is_some()), "`grad` is a number")?;
        self.scalar_grad()?;
        hold(out.shape == logits.shape, "gradient and logits have one shape")
    }

    fn clip(&self) -> Fit {
        self.floats()?;
        hold(self.inputs.len() == self.outputs.len(), "each gradient has its clipped one")?;
        let pair = |((_, from), (_, to)): (&(String, Seen<'_>), &(String, Seen<'_>))| {
            from.elements == to.elements && from.dtype == to.dtype
        };
        hold(self.inputs.iter().zip(&self.outputs).all(pair), "a clipped gradient keeps elements and format")
    }

    fn update(&self, roles: &[&str]) -> Fit {
        self.floats()?;
        let wanted = self.one("param")?;
        let alike = |seen: &Seen<'_>| seen.elements == wanted.elements && seen.dtype == wanted.dtype;
        let present = roles.iter().filter_map(|role| self.maybe(role));
        let all = present.chain(self.outputs.iter().map(|(_, seen)| seen)).all(alike);
        hold(all, "parameter, gradient and state have equally many elements of one format")
    }
}
