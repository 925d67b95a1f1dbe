//! TLS, both ends: the server's certificate from PEM files, and the commands' trust in exactly
//! that certificate. Must never trust a certificate because of its name alone.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, ServerConfig,
    SignatureScheme,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::error::{Error, Result};

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The certificates of a PEM file, the server's own first.
fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let shown = path.display();
    let unreadable = |e: &dyn std::fmt::Display| {
        Error::usage(format!("the certificate {shown}: {e}"))
            .with_hint("give a PEM file, the server's certificate first")
    };
    let chain = CertificateDer::pem_file_iter(path).map_err(|e| unreadable(&e))?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(|e| unreadable(&e))?;
    if chain.is_empty() {
        return Err(unreadable(&"there is none in the file"));
    }
    Ok(chain)
}

/// Accepts TLS with this certificate and its private key, both PEM.
pub fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor> {
    let chain = chain(certificate)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| {
        // Never what is in the file.
        Error::usage(format!("the private key {}: {e}", key.display()))
            .with_hint("give a PEM file with one unencrypted key")
    })?;
    let wrong = |e: TlsError| {
        Error::usage(format!("{} and {}: {e}", certificate.display(), key.display()))
            .with_hint("is it the key of this certificate?")
    };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(wrong)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(wrong)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Connects to a server that shows exactly the first certificate of a file.
pub fn connector(certificate: &Path) -> Result<TlsConnector> {
    let expected = chain(certificate)?.swap_remove(0);
    let verifier = Arc::new(Exactly { expected, provider: provider() });
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::internal(format!("TLS: {e}")))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Trusts one certificate, byte for byte, whatever name it is for: the commands know the file that
/// the engine of their home serves with, and ask it at 127.0.0.1.
#[derive(Debug)]
struct Exactly {
    expected: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Exactly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        if end_entity.as_ref() == self.expected.as_ref() {
            return Ok(ServerCertVerified::assertion());
        }
        Err(TlsError::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
