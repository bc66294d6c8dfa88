//! Accepted signature algorithms.

use openidconnect::core::{CoreJsonWebKeyType, CoreJwsSigningAlgorithm};

use crate::oidc::rejection::Rejection;

/// The signature algorithms that a token may use: asymmetric ones that the library can verify.
///
/// ES512 is missing because the library does not support P-521; EdDSA because the contract (section 4) does not list it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
}

impl Algorithm {
    pub(super) const ALL: [Self; 8] =
        [Self::Rs256, Self::Rs384, Self::Rs512, Self::Ps256, Self::Ps384, Self::Ps512, Self::Es256, Self::Es384];

    /// Parses `alg` of a token's header. Names are case-sensitive (RFC 7515, section 4.1.1).
    pub(super) fn parse(name: &str) -> Result<Self, Rejection> {
        match name {
            "RS256" => Ok(Self::Rs256),
            "RS384" => Ok(Self::Rs384),
            "RS512" => Ok(Self::Rs512),
            "PS256" => Ok(Self::Ps256),
            "PS384" => Ok(Self::Ps384),
            "PS512" => Ok(Self::Ps512),
            "ES256" => Ok(Self::Es256),
            "ES384" => Ok(Self::Es384),
            "HS256" | "HS384" | "HS512" => Err(Rejection("symmetric algorithm")),
            unsigned if unsigned.eq_ignore_ascii_case("none") => Err(Rejection("unsigned")),
            _ => Err(Rejection("algorithm not accepted")),
        }
    }

    /// The library's type.
    pub(super) fn core(self) -> CoreJwsSigningAlgorithm {
        match self {
            Self::Rs256 => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
            Self::Rs384 => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
            Self::Rs512 => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
            Self::Ps256 => CoreJwsSigningAlgorithm::RsaSsaPssSha256,
            Self::Ps384 => CoreJwsSigningAlgorithm::RsaSsaPssSha384,
            Self::Ps512 => CoreJwsSigningAlgorithm::RsaSsaPssSha512,
            Self::Es256 => CoreJwsSigningAlgorithm::EcdsaP256Sha256,
            Self::Es384 => CoreJwsSigningAlgorithm::EcdsaP384Sha384,
        }
    }

    /// The required key type.
    pub(super) fn key_type(self) -> CoreJsonWebKeyType {
        match self.curve() {
            None => CoreJsonWebKeyType::RSA,
            Some(_) => CoreJsonWebKeyType::EllipticCurve,
        }
    }

    /// The required curve (`crv`) of an elliptic curve key.
    pub(super) fn curve(self) -> Option<&'static str> {
        match self {
            Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512 => None,
            Self::Es256 => Some("P-256"),
            Self::Es384 => Some("P-384"),
        }
    }
}
