use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::{Error, Output, PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use async_trait::async_trait;
use pos_domain::SecretHash;
use pos_port_clock::Entropy;
use pos_port_identity::{HashError, SecretHasher};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// What OWASP's Password Storage Cheat Sheet asks of Argon2id at least: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Hashes with Argon2id, on threads that may block, only so many at once.
///
/// Each hash takes 19 MiB and tens of milliseconds of one core. A flood waits in a queue for `patience` and is turned
/// away after it, so it takes neither the memory nor the workers from anybody else.
pub struct Argon2Hasher {
    gate: Arc<Semaphore>,
    patience: Duration,
    entropy: Arc<dyn Entropy>,
    /// What is held against a secret of nobody, so that the answer takes as long as any other.
    nobodys: SecretHash,
}

impl Argon2Hasher {
    /// A hasher of at most `at_once` secrets at a time, each of which waits at most `patience` for its turn.
    ///
    /// # Errors
    /// [`HashError::Fault`] when the library does not accept these parameters.
    pub fn new(at_once: usize, patience: Duration, entropy: Arc<dyn Entropy>) -> Result<Self, HashError> {
        let nobodys = nobodys_hash(&*entropy)?;
        Ok(Self { gate: Arc::new(Semaphore::new(at_once)), patience, entropy, nobodys })
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, HashError> {
        let turn = timeout(self.patience, self.gate.clone().acquire_owned()).await;
        turn.map_err(|_| HashError::Busy)?.map_err(|_| HashError::Busy)
    }
}

/// Runs `work` on a thread that may block. The turn is over when the work is, even if the caller has gone away.
async fn off_the_worker<T: Send + 'static>(
    turn: OwnedSemaphorePermit,
    work: impl FnOnce() -> Result<T, HashError> + Send + 'static,
) -> Result<T, HashError> {
    let done = spawn_blocking(move || {
        let _turn = turn;
        work()
    });
    done.await.map_err(|_| HashError::Fault("the hasher was interrupted".to_owned()))?
}

fn argon2() -> Result<Argon2<'static>, HashError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None);
    let params = params.map_err(fault)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn salt(entropy: &dyn Entropy) -> Result<SaltString, HashError> {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes);
    SaltString::encode_b64(&bytes).map_err(fault)
}

fn hash(secret: &[u8], salt: &SaltString) -> Result<SecretHash, HashError> {
    let hashed = argon2()?.hash_password(secret, salt).map_err(fault)?;
    Ok(SecretHash::of_phc(hashed.to_string()))
}

/// The hash of no secret: of the form and the cost of any other, its digest drawn at random. Hashing a secret for it
/// would take the server 19 MiB before its first call.
fn nobodys_hash(entropy: &dyn Entropy) -> Result<SecretHash, HashError> {
    let salt = salt(entropy)?;
    let mut digest = [0; Params::DEFAULT_OUTPUT_LEN];
    entropy.fill(&mut digest);
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: argon2()?.params().try_into().map_err(fault)?,
        salt: Some(salt.as_salt()),
        hash: Some(Output::new(&digest).map_err(fault)?),
    };
    Ok(SecretHash::of_phc(hash.to_string()))
}

fn fault(error: impl Display) -> HashError {
    HashError::Fault(error.to_string())
}

#[async_trait]
impl SecretHasher for Argon2Hasher {
    async fn hash(&self, secret: &SecretString) -> Result<SecretHash, HashError> {
        let (turn, salt, secret) = (self.turn().await?, salt(&*self.entropy)?, secret.clone());
        off_the_worker(turn, move || hash(secret.expose_secret().as_bytes(), &salt)).await
    }

    async fn verify(&self, secret: &SecretString, hash: Option<&SecretHash>) -> Result<bool, HashError> {
        let (turn, secret, known) = (self.turn().await?, secret.clone(), hash.is_some());
        let against = hash.unwrap_or(&self.nobodys).clone();
        off_the_worker(turn, move || {
            let parsed = PasswordHash::new(against.as_phc()).map_err(fault)?;
            if parsed.hash.is_none() || parsed.salt.is_none() {
                return Err(HashError::Fault("the stored hash has no salt or no hash".to_owned()));
            }
            match argon2()?.verify_password(secret.expose_secret().as_bytes(), &parsed) {
                Ok(()) => Ok(known),
                Err(Error::Password) => Ok(false),
                Err(error) => Err(fault(error)),
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemEntropy;

    fn hasher(at_once: usize, patience: Duration) -> Argon2Hasher {
        Argon2Hasher::new(at_once, patience, Arc::new(SystemEntropy)).expect("a hasher")
    }

    #[tokio::test]
    async fn the_secret_is_recognised_and_no_other() {
        let hasher = hasher(2, Duration::from_secs(30));
        let hash = hasher.hash(&"correct horse".into()).await.expect("a hash");
        assert!(hash.as_phc().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "as OWASP asks");
        assert_ne!(hasher.hash(&"correct horse".into()).await.expect("a hash"), hash, "salted");
        assert!(hasher.verify(&"correct horse".into(), Some(&hash)).await.expect("an answer"));
        assert!(!hasher.verify(&"correct horsf".into(), Some(&hash)).await.expect("an answer"));
        assert!(!hasher.verify(&"".into(), None).await.expect("an answer"), "nobody has a secret");
        for broken in ["plain", "$argon2id$broken", "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ"] {
            let told = hasher.verify(&"x".into(), Some(&SecretHash::of_phc(broken.into()))).await;
            assert!(matches!(told, Err(HashError::Fault(_))), "{broken}: {told:?}");
        }
    }

    /// Or the time that an answer takes would tell whether there is somebody.
    #[test]
    fn nobodys_hash_is_as_dear_as_any_other() {
        let hasher = hasher(1, Duration::from_secs(30));
        let real = hash(b"secret", &salt(&SystemEntropy).expect("a salt")).expect("a hash");
        let [nobodys, real] = [&hasher.nobodys, &real].map(|hash| PasswordHash::new(hash.as_phc()).expect("a hash"));
        assert_eq!((nobodys.algorithm, nobodys.version, &nobodys.params), (real.algorithm, real.version, &real.params));
        let lengths = |hash: &PasswordHash<'_>| (hash.salt.map(|s| s.as_str().len()), hash.hash.map(|h| h.len()));
        assert_eq!(lengths(&nobodys), lengths(&real));
    }

    #[tokio::test]
    async fn who_does_not_get_a_turn_is_turned_away() {
        let hasher = hasher(1, Duration::from_millis(1));
        let turn = hasher.turn().await.expect("the first turn");
        let refused = hasher.verify(&"x".into(), None).await;
        assert!(matches!(refused, Err(HashError::Busy)), "{refused:?}");
        drop(turn);
        assert!(!hasher.verify(&"x".into(), None).await.expect("an answer"));
    }
}
