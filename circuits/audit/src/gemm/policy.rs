//! **Duty.** The numeric policy: for each class of operations the formats and the error model under which its tiles are
//! judged, said before the run. **Knows** formats and constants of the envelope. **Does not know** any tile.
//! **Spec.** CIRCUITS §5 (numeric policy per operation class in genesis, never the prover's choice per tile).

use thiserror::Error;
use weighbridge_attest_types::{Canonical, CodecError, Culprit, Decoder, Digest32, Domain, Encoder, sha256};

use crate::gemm::{MAX_SIDE, MAX_TERMS};
use crate::number::Format;

/// Classes in one policy. A graph has a handful of kinds of products; 64 leaves room and bounds the encoding.
pub const MAX_CLASSES: usize = 64;
/// Least side of tiles. Smaller ones have too few entries for anything to be said about all of them: under 8 the mean square
/// bounds nothing, and with a side of 1 no row repeats.
pub const MIN_SIDE: u8 = 8;
/// Side of tiles unless a policy says otherwise: the commitments' tiles.
const DEFAULT_SIDE: u8 = 16;
/// Largest λ and κ. With both at 64, γ stays below 2⁻³ for every K that is checked in one piece.
pub const MAX_FACTOR: u8 = 64;

/// γ is a whole number of 2⁻³².
pub(crate) const GAMMA_BITS: u32 = 32;
/// Unit roundoff of the accumulator, 2⁻²⁴, is this many of them.
const ACCUMULATOR_UNITS: u64 = 1 << 8;
/// Truncating both operands to TF32's 11 significant bits moves a product by at most 2⁻⁹ + 2⁻²⁰ of its magnitude.
const TF32_UNITS: u64 = (1 << 23) + (1 << 12);

/// A kind of product of the run's graph. The committed graph names the class of each operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationClass(pub u8);

impl OperationClass {
    /// Activations: Y = X·Wᵀ.
    pub const FORWARD: Self = Self(0);
    /// Gradients of activations: dX = dY·W.
    pub const DGRAD: Self = Self(1);
    /// Gradients of weights: dW = dYᵀ·X.
    pub const WGRAD: Self = Self(2);
    /// Products that a trace does not tell apart.
    pub const OTHER: Self = Self(3);
}

/// In which format products are added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accumulator {
    /// IEEE 754 binary32: unit roundoff 2⁻²⁴, smallest normal number 2⁻¹²⁶.
    F32,
}

/// How rounding errors of K additions are bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorModel {
    /// γ = K·2⁻²⁴·κ: holds for every order of additions.
    OrderFree,
    /// γ = λ·√K·2⁻²⁴·κ (Higham and Mary): rounding errors do not conspire.
    Probabilistic {
        /// λ, 1 to [`MAX_FACTOR`].
        lambda: u8,
    },
}

/// Under what the tiles of one class are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperationPolicy {
    left: Format,
    right: Format,
    output: Format,
    accumulator: Accumulator,
    tf32: bool,
    model: ErrorModel,
    kappa: u8,
}

/// Policies that make no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// λ or κ out of range.
    #[error("{factor} is {found}; it must be 1 to {MAX_FACTOR}")]
    Factor {
        /// `lambda` or `kappa`.
        factor: &'static str,
        /// The value.
        found: u8,
    },
    /// TF32 concerns f32 operands.
    #[error("TF32 is on for {left} times {right}; only products of two f32 operands know it")]
    Tf32 {
        /// Format of the left operand.
        left: Format,
        /// Format of the right operand.
        right: Format,
    },
    /// An output that is rounded in a step of its own below its normal numbers, which no term of the envelope has.
    #[error("outputs stored as {output} have no envelope; store them as bf16 or f32")]
    Output {
        /// The format.
        output: Format,
    },
    /// Tiles of another side.
    #[error("tiles have a side of {found}; it must be {MIN_SIDE} to {MAX_SIDE}")]
    Side {
        /// The side.
        found: u8,
    },
    /// No class, too many, one twice or out of order.
    #[error("a numeric policy names 1 to {MAX_CLASSES} classes, ascending, each once")]
    Classes,
}

impl PolicyError {
    /// Who has to act.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        Culprit::Malformed
    }
}

impl OperationPolicy {
    /// The default error model, λ = 6 and κ = 4, over one format of operands; f32 accumulator, TF32 off.
    #[must_use]
    pub const fn of(operands: Format, output: Format) -> Self {
        let model = ErrorModel::Probabilistic { lambda: 6 };
        let accumulator = Accumulator::F32;
        Self { left: operands, right: operands, output, accumulator, tf32: false, model, kappa: 4 }
    }

    /// The same with another right operand.
    #[must_use]
    pub const fn with_right(self, right: Format) -> Self {
        Self { right, ..self }
    }

    /// The same under another error model.
    ///
    /// # Errors
    /// [`PolicyError::Factor`].
    pub fn with_model(self, model: ErrorModel, kappa: u8) -> Result<Self, PolicyError> {
        Self { model, kappa, ..self }.checked()
    }

    /// The same with TF32 on or off.
    ///
    /// # Errors
    /// [`PolicyError::Tf32`].
    pub fn with_tf32(self, tf32: bool) -> Result<Self, PolicyError> {
        Self { tf32, ..self }.checked()
    }

    /// Whether outputs of this format have an envelope: the smallest step of e4m3, 2⁻⁹, is in no term of it, so that honest
    /// small outputs would lie outside.
    pub(crate) const fn has_envelope(&self) -> bool {
        matches!(self.output, Format::Bf16 | Format::F32)
    }

    fn checked(self) -> Result<Self, PolicyError> {
        if !self.has_envelope() {
            return Err(PolicyError::Output { output: self.output });
        }
        let range = 1..=MAX_FACTOR;
        if !range.contains(&self.kappa) {
            return Err(PolicyError::Factor { factor: "kappa", found: self.kappa });
        }
        match self.model {
            ErrorModel::Probabilistic { lambda } if !range.contains(&lambda) => {
                return Err(PolicyError::Factor { factor: "lambda", found: lambda });
            }
            ErrorModel::Probabilistic { .. } | ErrorModel::OrderFree => {}
        }
        if self.tf32 && (self.left, self.right) != (Format::F32, Format::F32) {
            return Err(PolicyError::Tf32 { left: self.left, right: self.right });
        }
        Ok(self)
    }

    /// Format of the left operand A.
    #[must_use]
    pub const fn left(&self) -> Format {
        self.left
    }

    /// Format of the right operand B.
    #[must_use]
    pub const fn right(&self) -> Format {
        self.right
    }

    /// Format of the output C.
    #[must_use]
    pub const fn output(&self) -> Format {
        self.output
    }

    /// Under what the sum of partial sums is judged: f32 parts, this output and κ, no matter in which order.
    pub(crate) const fn of_sums(&self) -> Self {
        Self { left: Format::F32, right: Format::F32, tf32: false, model: ErrorModel::OrderFree, ..*self }
    }

    /// γ in units of 2⁻³². √K is ⌊√(K·2¹⁶)⌋ / 2⁸: rounded down, so that no envelope is wider than the formula's. What a
    /// proof about a tile takes from the policy.
    #[must_use]
    pub fn gamma(&self, k: usize) -> u64 {
        let Accumulator::F32 = self.accumulator;
        let (k, kappa) = (k.min(MAX_TERMS) as u64, u64::from(self.kappa));
        let additions = match self.model {
            ErrorModel::OrderFree => k.saturating_mul(kappa).saturating_mul(ACCUMULATOR_UNITS),
            // The root is in units of 2⁻⁸ and u in units of 2⁻²⁴: their product already is in units of 2⁻³².
            ErrorModel::Probabilistic { lambda } => {
                (k << 16).isqrt().saturating_mul(u64::from(lambda)).saturating_mul(kappa)
            }
        };
        additions.saturating_add(if self.tf32 { TF32_UNITS } else { 0 })
    }
}

impl Canonical for OperationPolicy {
    fn encode(&self, out: &mut Encoder) {
        let Self { left, right, output, accumulator: Accumulator::F32, tf32, model, kappa } = self;
        out.put(left).put(right).put(output).put(&0u8).put(&u8::from(*tf32));
        match model {
            ErrorModel::OrderFree => out.put(&0u8),
            ErrorModel::Probabilistic { lambda } => out.put(&1u8).put(lambda),
        };
        out.put(kappa);
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        let (left, right, output) = (input.take()?, input.take()?, input.take()?);
        if input.take::<u8>()? != 0 {
            return Err(CodecError::NotCanonical("accumulator"));
        }
        let tf32 = match input.take::<u8>()? {
            0 => false,
            1 => true,
            _ => return Err(CodecError::NotCanonical("tf32")),
        };
        let model = match input.take::<u8>()? {
            0 => ErrorModel::OrderFree,
            1 => ErrorModel::Probabilistic { lambda: input.take()? },
            _ => return Err(CodecError::NotCanonical("error model")),
        };
        let kappa = input.take()?;
        let policy = Self { left, right, output, accumulator: Accumulator::F32, tf32, model, kappa };
        policy.checked().map_err(|_| CodecError::NotCanonical("operation policy"))
    }
}

/// The policy of a run: what its digest commits to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumericPolicy {
    side: u8,
    classes: Vec<(OperationClass, OperationPolicy)>,
}

impl NumericPolicy {
    /// Policies by class, over tiles of 16 × 16.
    ///
    /// # Errors
    /// [`PolicyError::Classes`] unless there are 1 to [`MAX_CLASSES`], ascending, each once; [`PolicyError::Output`].
    pub fn new(classes: Vec<(OperationClass, OperationPolicy)>) -> Result<Self, PolicyError> {
        let ascending = classes.is_sorted_by(|(one, _), (next, _)| one < next);
        if classes.is_empty() || classes.len() > MAX_CLASSES || !ascending {
            return Err(PolicyError::Classes);
        }
        for (_, policy) in &classes {
            policy.checked()?;
        }
        Ok(Self { side: DEFAULT_SIDE, classes })
    }

    /// The same policy for forward and both gradients.
    #[must_use]
    pub fn uniform(policy: OperationPolicy) -> Self {
        let classes = [OperationClass::FORWARD, OperationClass::DGRAD, OperationClass::WGRAD];
        Self { side: DEFAULT_SIDE, classes: classes.map(|class| (class, policy)).to_vec() }
    }

    /// The same over tiles of another side.
    ///
    /// # Errors
    /// [`PolicyError::Side`] below [`MIN_SIDE`] or above [`MAX_SIDE`].
    pub fn with_side(self, side: u8) -> Result<Self, PolicyError> {
        if (MIN_SIDE..=u8::try_from(MAX_SIDE).unwrap_or(u8::MAX)).contains(&side) {
            Ok(Self { side, ..self })
        } else {
            Err(PolicyError::Side { found: side })
        }
    }

    /// Side of the tiles into which every product of the run is cut, but at its edges. A prover who could choose it by
    /// operation would choose tiles of which little can be said.
    #[must_use]
    pub const fn side(&self) -> u64 {
        self.side as u64
    }

    /// The policy of one class; `None` where the run has no such class: its tiles are not judged, and so not proven.
    #[must_use]
    pub fn of(&self, class: OperationClass) -> Option<&OperationPolicy> {
        self.classes.iter().find(|(found, _)| *found == class).map(|(_, policy)| policy)
    }

    /// SHA-256(framed domain, canonical bytes): what genesis and a proof's public inputs name.
    #[must_use]
    pub fn digest(&self) -> Digest32 {
        let mut out = Domain::NumericPolicy.encoder();
        out.put(self);
        sha256(&out.finish())
    }
}

impl Canonical for NumericPolicy {
    fn encode(&self, out: &mut Encoder) {
        out.put(&self.side).count(self.classes.len());
        for (OperationClass(class), policy) in &self.classes {
            out.put(class).put(policy);
        }
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        let side = input.take()?;
        let count = input.count("operation classes", MAX_CLASSES)?;
        let one = |input: &mut Decoder<'_>| Ok((OperationClass(input.take()?), input.take()?));
        let classes: Result<_, CodecError> = (0..count).map(|_| one(input)).collect();
        let policy = Self::new(classes?).and_then(|policy| policy.with_side(side));
        policy.map_err(|_| CodecError::NotCanonical("numeric policy"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BF16: OperationPolicy = OperationPolicy::of(Format::Bf16, Format::Bf16);

    #[test]
    fn gamma_is_the_formula_rounded_down() {
        // λ·√K·2⁻²⁴·κ = 24·32·2⁻²⁴ at K = 1,024.
        assert_eq!(BF16.gamma(1024), (24 * 32) << 8);
        assert_eq!(BF16.gamma(1), 24 << 8);
        // √2 = 1.41421…: 362.03 / 2⁸.
        assert_eq!(BF16.gamma(2), 24 * 362);
        let order_free = BF16.with_model(ErrorModel::OrderFree, 1).unwrap();
        assert_eq!(order_free.gamma(1000), 1000 << 8);
        let tf32 = OperationPolicy::of(Format::F32, Format::F32).with_tf32(true).unwrap();
        assert_eq!(tf32.gamma(1) - (24 << 8), (1 << 23) + (1 << 12));
    }

    #[test]
    fn gamma_stays_below_an_eighth_whatever_the_policy() {
        for model in [ErrorModel::OrderFree, ErrorModel::Probabilistic { lambda: MAX_FACTOR }] {
            let widest = BF16.with_model(model, MAX_FACTOR).unwrap();
            assert!(widest.gamma(MAX_TERMS) < 1 << (GAMMA_BITS - 3), "{model:?}");
        }
    }

    #[test]
    fn a_policy_that_makes_no_sense_is_refused_in_words_and_in_bytes() {
        let zero = BF16.with_model(ErrorModel::OrderFree, 0);
        assert_eq!(zero, Err(PolicyError::Factor { factor: "kappa", found: 0 }));
        let lambda = BF16.with_model(ErrorModel::Probabilistic { lambda: 65 }, 1);
        assert_eq!(lambda, Err(PolicyError::Factor { factor: "lambda", found: 65 }));
        assert_eq!(
            BF16.with_tf32(true).unwrap_err().to_string(),
            "TF32 is on for bf16 times bf16; only products of two f32 operands know it"
        );

        let bytes = BF16.to_bytes();
        assert_eq!(bytes, [0, 0, 0, 0, 0, 1, 6, 4]);
        assert_eq!(OperationPolicy::from_bytes(&bytes), Ok(BF16));
        for (at, value, what) in [
            (0, 3, "number format"),
            (3, 1, "accumulator"),
            (4, 1, "operation policy"),
            (4, 2, "tf32"),
            (5, 2, "error model"),
            (6, 0, "operation policy"),
            (7, 65, "operation policy"),
        ] {
            let mut changed = bytes.clone();
            changed[at] = value;
            assert_eq!(OperationPolicy::from_bytes(&changed), Err(CodecError::NotCanonical(what)), "{at} {value}");
        }
    }

    #[test]
    fn classes_ascend_and_the_digest_tells_policies_apart() {
        let policy = NumericPolicy::uniform(BF16);
        assert_eq!(NumericPolicy::from_bytes(&policy.to_bytes()), Ok(policy.clone()));
        assert_eq!(policy.of(OperationClass::WGRAD), Some(&BF16));
        assert_eq!(policy.of(OperationClass(9)), None);
        let wider = BF16.with_model(ErrorModel::Probabilistic { lambda: 6 }, 5).unwrap();
        assert_ne!(NumericPolicy::uniform(wider).digest(), policy.digest());
        let class = |number| (OperationClass(number), BF16);
        for classes in [vec![], vec![class(1), class(1)], vec![class(2), class(1)]] {
            assert_eq!(NumericPolicy::new(classes), Err(PolicyError::Classes));
        }
        let many = (0..65).map(class).collect();
        assert_eq!(NumericPolicy::new(many), Err(PolicyError::Classes));
    }

    #[test]
    fn the_side_of_tiles_is_the_runs_and_not_too_small() {
        let policy = NumericPolicy::uniform(BF16);
        assert_eq!((policy.side(), policy.to_bytes()[0]), (16, 16));
        let larger = policy.clone().with_side(64).unwrap();
        assert_eq!(NumericPolicy::from_bytes(&larger.to_bytes()), Ok(larger.clone()));
        assert_ne!(larger.digest(), policy.digest());
        for side in [0, 1, 7, 65, 255] {
            assert_eq!(policy.clone().with_side(side), Err(PolicyError::Side { found: side }));
            let mut bytes = policy.to_bytes();
            bytes[0] = side;
            assert_eq!(NumericPolicy::from_bytes(&bytes), Err(CodecError::NotCanonical("numeric policy")), "{side}");
        }
    }

    /// The subnormal step of e4m3, 2⁻⁹, is in no term of the envelope: honest small outputs would be refused.
    #[test]
    fn outputs_without_an_envelope_are_no_policy() {
        let fp8 = OperationPolicy::of(Format::E4m3, Format::E4m3);
        let refused = PolicyError::Output { output: Format::E4m3 };
        assert_eq!(fp8.with_model(ErrorModel::OrderFree, 1), Err(refused));
        assert_eq!(NumericPolicy::new(vec![(OperationClass::FORWARD, fp8)]), Err(refused));
        assert_eq!(OperationPolicy::from_bytes(&fp8.to_bytes()), Err(CodecError::NotCanonical("operation policy")));
        assert!(OperationPolicy::of(Format::E4m3, Format::F32).with_model(ErrorModel::OrderFree, 1).is_ok());
    }
}
