//! The server, addressed by signed requests of any kind: `object_store` has none for buckets, uploads or users.

use object_store::ClientOptions;
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{HttpConnector, HttpError, HttpRequest, HttpRequestBody, ReqwestConnector};

const REGION: &str = "us-east-1";

/// Who asks.
#[derive(Clone)]
pub struct Keys {
    /// Access key.
    pub id: String,
    /// Secret key.
    pub secret: String,
    /// Token of a session.
    pub token: Option<String>,
}

/// The server that the environment names.
#[derive(Clone)]
pub struct S3Server {
    /// `http://host:port`.
    pub endpoint: String,
    /// The keys of its owner.
    pub keys: Keys,
}

impl S3Server {
    /// The server of `QUICKCHAT_TEST_S3_ENDPOINT`.
    ///
    /// # Panics
    /// When the variables are not set.
    #[must_use]
    pub fn from_environment() -> Self {
        let variable = |name: &str| {
            std::env::var(name).ok().filter(|value| !value.is_empty()).unwrap_or_else(|| {
                panic!(
                    "{name} is not set: this test needs an S3 server. Run the tests by scripts/test.sh, or start one \
                     with: servers=$(scripts/services.sh start s3) && eval \"$servers\""
                )
            })
        };
        let keys = Keys {
            id: variable("QUICKCHAT_TEST_S3_ACCESS_KEY"),
            secret: variable("QUICKCHAT_TEST_S3_SECRET_KEY"),
            token: None,
        };
        Self { endpoint: variable("QUICKCHAT_TEST_S3_ENDPOINT").trim_end_matches('/').to_owned(), keys }
    }

    /// Asks the server, as its owner, and gives status and body.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn ask(&self, service: &'static str, method: &str, path_and_query: &str, body: &str) -> (u16, String) {
        self.try_ask(service, method, path_and_query, body).unwrap()
    }

    /// The same of a server that may be gone.
    pub(crate) fn try_ask(
        &self,
        service: &'static str,
        method: &str,
        path_and_query: &str,
        body: &str,
    ) -> Result<(u16, String), HttpError> {
        let mut request = HttpRequest::new(HttpRequestBody::from(body.to_owned()));
        *request.method_mut() = method.parse().unwrap();
        *request.uri_mut() = format!("{}{path_and_query}", self.endpoint).parse().unwrap();
        if service == "sts" {
            let form = "application/x-www-form-urlencoded".parse().unwrap();
            request.headers_mut().insert("content-type", form);
        }
        let Keys { id, secret, token } = self.keys.clone();
        let credential = AwsCredential { key_id: id, secret_key: secret, token };
        AwsAuthorizer::new(&credential, service, REGION).authorize(&mut request, None);
        let client = ReqwestConnector::default().connect(&ClientOptions::new().with_allow_http(true)).unwrap();
        wait(async move {
            let response = client.execute(request).await?;
            let status = response.status().as_u16();
            Ok((status, String::from_utf8_lossy(&response.into_body().bytes().await?).into_owned()))
        })
    }

    /// Keys that may do what a policy allows, for a quarter of an hour.
    #[must_use]
    pub fn session(&self, policy: &str) -> Keys {
        let escaped: String = policy.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let body = format!("Action=AssumeRole&Version=2011-06-15&DurationSeconds=900&Policy={escaped}");
        let (status, answer) = self.ask("sts", "POST", "/", &body);
        assert_eq!(status, 200, "{answer}");
        let part = |tag: &str| {
            let (_, rest) = answer.split_once(&format!("<{tag}>")).unwrap_or_else(|| panic!("{answer}"));
            rest.split_once("</").unwrap().0.to_owned()
        };
        Keys { id: part("AccessKeyId"), secret: part("SecretAccessKey"), token: Some(part("SessionToken")) }
    }
}

/// Runs a future to its end on a thread of its own, so that it does not matter where the caller runs.
pub(crate) fn wait<T: Send>(future: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let run = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
        scope.spawn(run).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
