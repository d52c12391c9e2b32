//! Endpoints that an operator takes out of service, and lets come back.

use super::DataPath;
use std::sync::Arc;
use std::time::Instant;

/// Why an endpoint was not drained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DrainError {
    /// And the services that there are.
    #[error("there is no service '{0}'")]
    UnknownService(String, String),
    /// And the endpoints that there are.
    #[error("there is no endpoint '{0}'")]
    UnknownEndpoint(String, String),
    /// All others of its variant are drained.
    #[error("{0} is the last endpoint of its variant that is not drained")]
    NobodyLeft(String),
}

impl DataPath {
    /// Takes an endpoint out of a service (or lets it come back): it gets no new request, those that
    /// it has end as they began. It stays so over reloads; whoever asks for it remembers it over restarts. `address` is `host:port`
    /// as configured, or an address that the name leads to.
    ///
    /// # Errors
    /// There is none of that name, or nobody would be left.
    pub fn drain_endpoint(
        &self,
        service: &str,
        address: &str,
        draining: bool,
    ) -> Result<(), DrainError> {
        let setup = Arc::clone(&self.0.setup());
        let Some(found) = setup.services.iter().find(|known| *known.name == *service) else {
            let known: Vec<&str> = setup.services.iter().map(|known| &*known.name).collect();
            return Err(DrainError::UnknownService(service.to_owned(), known.join(", ")));
        };
        if draining && found.pools().any(|pool| pool.needs(address)) {
            return Err(DrainError::NobodyLeft(address.to_owned()));
        }
        let now = Instant::now();
        let found_it = found.pools().map(|pool| pool.drain(address, draining, now));
        if !found_it.fold(false, |any, it| any | it) {
            let known = found.pools().flat_map(|pool| pool.names().iter()).map(|name| &**name);
            let known: Vec<&str> = known.collect();
            return Err(DrainError::UnknownEndpoint(address.to_owned(), known.join(", ")));
        }
        tracing::info!(service, endpoint = address, draining, "asked for by an operator");
        Ok(())
    }
}
