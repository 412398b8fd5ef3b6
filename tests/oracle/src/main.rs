//! **Duty.** `weighbridge-oracle TOKEN.jwt PUBLIC-KEY.pem`: verifies and reads an attestation result with the `ear` crate and
//! prints what that crate understood, as JSON. **Does not know** anything of ours. **Spec.** draft-ietf-rats-ear; docs/ear.md.

use std::error::Error;
use std::{env, fs};

use ear::Ear;
use jsonwebtoken::{Algorithm, DecodingKey, decode_header};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(token), Some(key), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("usage: weighbridge-oracle TOKEN.jwt PUBLIC-KEY.pem".into());
    };
    let (token, key) = (fs::read_to_string(token)?, fs::read(key)?);
    let algorithm = decode_header(token.trim())?.alg;
    let key = match algorithm {
        Algorithm::EdDSA => DecodingKey::from_ed_pem(&key)?,
        Algorithm::ES256 => DecodingKey::from_ec_pem(&key)?,
        other => return Err(format!("{other:?} is not an algorithm of ours").into()),
    };
    let result = Ear::from_jwt(token.trim(), algorithm, &key)?;
    result.validate()?;
    println!("{}", serde_json::to_string_pretty(&result)?);
    Ok(())
}
