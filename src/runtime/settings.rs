//! Options become what the cores and the monitoring need of them.

use std::sync::Arc;

use super::spin::Spin;
use crate::broker::accounts::{AccountTable, DEFAULT_SYSTEM_ACCOUNT};
use crate::broker::auth::{
    AuthConfig, AuthError, AuthRules, ConnectionTypes, NkeyRule, NonceKey, Trusted, UserRule,
};
use crate::broker::permissions::{PermissionRules, ResponseRule, SubjectRules};
use crate::broker::{ServerIdentity, Settings, WebSocketSettings};
use crate::config::{self, AuthorizationConfig, Options, WriteTimeout};
use crate::monitor::snapshot::{OptionsSnapshot, WebSocketSnapshot};
use crate::protocol::websocket::origin::Origin;
use crate::protocol::websocket::{Cookies, Rules};
use crate::transport::{DEFAULT_HANDSHAKE_TIMEOUT, Transports, WebSockets};

fn rules(rules: &config::SubjectRules) -> SubjectRules {
    SubjectRules {
        allow: rules.allow.clone(),
        deny: rules.deny.clone(),
    }
}

fn permissions(config: &config::PermissionsConfig) -> PermissionRules {
    PermissionRules {
        publish: config.publish.as_ref().map(rules),
        subscribe: config.subscribe.as_ref().map(rules),
        allow_responses: config.allow_responses.map(|rule| ResponseRule {
            max: rule.max,
            expires_nanos: i64::try_from(rule.expires.as_nanos()).unwrap_or(i64::MAX),
        }),
    }
}

/// The configuration was checked: it has known names only.
fn connection_types(names: &[String]) -> ConnectionTypes {
    ConnectionTypes::from_names(names.iter().map(String::as_str)).unwrap_or_default()
}

/// A new secret from the system's random source.
fn nonce_key() -> NonceKey {
    let pair = nkeys::KeyPair::new_user();
    match nkeys::from_public_key(&pair.public_key()) {
        // A key made of 32 random bytes; its private half is dropped.
        Ok((_, bytes)) => NonceKey(bytes),
        Err(_) => NonceKey::default(),
    }
}

/// Who may connect.
///
/// # Errors
/// As [`AuthConfig::new`].
pub fn auth(
    config: &AuthorizationConfig,
    trusted: Option<&Arc<Trusted>>,
) -> Result<AuthConfig, AuthError> {
    if let Some(trusted) = trusted {
        let trusted = Arc::clone(trusted);
        return Ok(AuthConfig::trusted(trusted, config.timeout, nonce_key()));
    }
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    AuthConfig::new(&AuthRules {
        users: config
            .users
            .iter()
            .filter(|user| user.nkey.is_empty())
            .map(|user| UserRule {
                name: user.user.clone(),
                password: user.password.clone(),
                permissions: user.permissions.as_ref().map(permissions),
                connection_types: connection_types(&user.connection_types),
                account: user.account.clone(),
            })
            .collect(),
        nkeys: config
            .users
            .iter()
            .filter(|user| !user.nkey.is_empty())
            .map(|user| NkeyRule {
                nkey: user.nkey.clone(),
                account: user.account.clone(),
                permissions: user.permissions.as_ref().map(permissions),
                connection_types: connection_types(&user.connection_types),
            })
            .collect(),
        nonce_key: nonce_key(),
        single_user: (!config.user.is_empty() || !config.password.is_empty())
            .then(|| (config.user.clone(), config.password.clone())),
        token: text(&config.token),
        no_auth_user: text(&config.no_auth_user),
        default_permissions: config.default_permissions.as_ref().map(permissions),
        timeout: config.timeout,
    })
}

/// A count that is unlimited when it is not positive.
fn limit(count: i64) -> Option<usize> {
    usize::try_from(count).ok().filter(|&count| count > 0)
}

fn bytes(count: i64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Most connections; `Some(0)` lets nobody in (a negative number of the options).
pub fn max_connections(options: &Options) -> Option<usize> {
    Some(usize::try_from(options.max_connections).unwrap_or(0))
}

/// What a core needs.
pub fn core(
    options: &Options,
    identity: &ServerIdentity,
    auth: Arc<AuthConfig>,
    accounts: Arc<AccountTable>,
) -> Settings {
    Settings {
        identity: identity.clone(),
        max_control_line: bytes(options.max_control_line),
        max_payload: options.max_payload,
        max_pending: bytes(options.max_pending),
        max_subscriptions: limit(options.max_subscriptions),
        max_subscription_tokens: (options.max_sub_tokens > 0)
            .then_some(usize::from(options.max_sub_tokens)),
        ping_interval: options.ping_interval,
        ping_max: u32::try_from(options.ping_max).unwrap_or(u32::MAX),
        write_deadline: options.write_deadline,
        write_timeout_retry: options.write_timeout == WriteTimeout::Retry,
        no_fast_producer_stall: options.no_fast_producer_stall,
        websocket: websocket(options, identity, &auth),
        auth,
        accounts,
        trace: options.log.trace,
        trace_headers: options.log.trace_headers,
        debug: options.log.debug,
        max_traced_msg_len: limit(options.log.max_traced_msg_len).unwrap_or(0),
    }
}

/// What is different for clients on the WebSocket port.
fn websocket(
    options: &Options,
    identity: &ServerIdentity,
    server_auth: &Arc<AuthConfig>,
) -> WebSocketSettings {
    let block = &options.websocket;
    let interval = block.ping_interval;
    let own = websocket_authorization(options).map(|own| {
        // The server's rules compiled, and these are part of them or one user alone.
        match server_auth.with_timeout(own.timeout) {
            Some(trusted) => Arc::new(trusted),
            None => auth(&own, None).map_or_else(|_| Arc::clone(server_auth), Arc::new),
        }
    });
    WebSocketSettings {
        host: block.host.clone(),
        port: identity.websocket_port,
        ping_interval: (!interval.is_zero()).then_some(interval),
        auth: own,
    }
}

/// The rules of the WebSocket port, if they are not the server's.
fn websocket_authorization(options: &Options) -> Option<AuthorizationConfig> {
    let block = &options.websocket;
    let mut own = options.authorization.clone();
    if !block.token.is_empty() || !block.user.is_empty() {
        let timeout = own.timeout;
        own = AuthorizationConfig {
            timeout,
            ..AuthorizationConfig::default()
        };
        if block.token.is_empty() {
            own.user.clone_from(&block.user);
            own.password.clone_from(&block.password);
        } else {
            own.token.clone_from(&block.token);
        }
    }
    if !block.no_auth_user.is_empty() {
        own.no_auth_user.clone_from(&block.no_auth_user);
    }
    if !block.auth_timeout.is_zero() {
        own.timeout = block.auth_timeout;
    }
    (own != options.authorization).then_some(own)
}

/// What stands between sockets and cores.
pub fn transports(options: &Options) -> Transports {
    let block = &options.websocket;
    let websocket = block.is_on().then(|| WebSockets {
        rules: Arc::new(Rules {
            compression: block.compression,
            same_origin: block.same_origin,
            // Checked with the rest of the options.
            allowed_origins: block
                .allowed_origins
                .iter()
                .filter_map(|origin| Origin::parse(origin).ok())
                .collect(),
            headers: block.headers.clone(),
            cookies: Cookies {
                jwt: block.jwt_cookie.clone(),
                user: block.user_cookie.clone(),
                pass: block.pass_cookie.clone(),
                token: block.token_cookie.clone(),
            },
        }),
        handshake_timeout: if block.handshake_timeout.is_zero() {
            DEFAULT_HANDSHAKE_TIMEOUT
        } else {
            block.handshake_timeout
        },
        inflated_max: usize::try_from(options.max_payload).ok(),
    });
    Transports { websocket }
}

fn shown_websocket(options: &Options, port: u16) -> WebSocketSnapshot {
    let block = &options.websocket;
    WebSocketSnapshot {
        host: block.host.clone(),
        port,
        advertise: block.advertise.clone(),
        no_auth_user: block.no_auth_user.clone(),
        jwt_cookie: block.jwt_cookie.clone(),
        handshake_timeout: u64::try_from(block.handshake_timeout.as_nanos()).unwrap_or(u64::MAX),
        auth_timeout: block.auth_timeout.as_secs_f64(),
        no_tls: block.no_tls,
        same_origin: block.same_origin,
        allowed_origins: block.allowed_origins.clone(),
        compression: block.compression,
    }
}

/// How long an idle core looks for work.
pub fn spin(spin: config::Spin) -> Spin {
    match spin {
        config::Spin::Forever => Spin::Forever,
        config::Spin::For(time) if time.is_zero() => Spin::None,
        config::Spin::For(time) => Spin::For(time),
    }
}

/// The ports really bound; 0: not in use.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    pub client: u16,
    pub http: u16,
    pub websocket: u16,
}

/// What /varz shows.
pub fn shown(options: &Options, ports: Ports) -> OptionsSnapshot {
    let Ports {
        client: port,
        http: http_port,
        websocket: websocket_port,
    } = ports;
    let number = |n: i64| u64::try_from(n).unwrap_or(0);
    let (host, port) = super::identity::advertised(options, port);
    OptionsSnapshot {
        host,
        port,
        auth_required: options.authorization.is_required() || options.trust.is_on(),
        connect_urls: Vec::new(),
        max_connections: number(options.max_connections),
        max_subscriptions: number(options.max_subscriptions),
        ping_interval: u64::try_from(options.ping_interval.as_nanos()).unwrap_or(u64::MAX),
        ping_max: u32::try_from(options.ping_max).unwrap_or(u32::MAX),
        http_host: options.http_host.clone(),
        http_port,
        http_base_path: options.http_base_path.clone(),
        https_port: 0,
        auth_timeout: options.authorization.timeout.as_secs_f64(),
        websocket: shown_websocket(options, websocket_port),
        max_control_line: number(options.max_control_line),
        max_payload: number(options.max_payload),
        max_pending: number(options.max_pending),
        tls_timeout: TLS_TIMEOUT_SECONDS,
        write_deadline: u64::try_from(options.write_deadline.as_nanos()).unwrap_or(u64::MAX),
        tags: options.server_tags.clone(),
        metadata: options.server_metadata.clone(),
        system_account: options
            .named_system_account()
            .unwrap_or(DEFAULT_SYSTEM_ACCOUNT)
            .to_owned(),
    }
}

/// nats-server shows its default with TLS off, too.
const TLS_TIMEOUT_SECONDS: f64 = 2.0;
