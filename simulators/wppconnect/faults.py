"""What can go wrong with the WhatsApp gateway, by name, in both languages of the screen.

Names are those of the contract's section 8, and more of the same kind. Nearly all take `session`; without
it they are for every session that has a phone. Some are how version 2.10.4 is: `NATURAL` ones are active
from the beginning and may be ended, for one session or for all.
"""

from __future__ import annotations

from simulators.fault import Fault, fault

Texts = tuple[str, str]

NATURAL = (
    "autoclose_60s",
    "no_session_name_after_close",
    "stale_qr_after_login",
    "double_reply_400_but_sent",
    "lid14_bug",
    "mark_read_on_delivery",
    "presence_as_connection_update",
)
# For the whole server or gateway, not for one session.
EVERYWHERE = (
    "server_gone",
    "server_restart",
    "gateway_gone",
    "proxy_504_html",
    "proxy_basic_auth",
    "slow_list",
)

SENDING = (
    "double_reply_400_but_sent",
    "lid14_bug",
    "ack_repeated",
    "send_request_lost",
    "send_answer_lost",
    "send_slow",
    "send_error",
)

ON_REQUEST = ("Quando é encerrada, ou quando o tempo acaba.", "When it is ended, or its time is over.")
ON_RESTART = (
    "Quando a sessão é fechada e iniciada; com `stubborn`, nem assim.",
    "When the session is closed and started; with `stubborn` not even then.",
)
BY_HAND = (
    "Quando alguém encerra o navegador do perfil.",
    "When somebody ends the browser of the profile.",
)
BY_CODE = ("Quando alguém lê um código novo.", "When somebody reads a new code.")
BY_ITSELF = ("Sozinha: só acontece uma vez.", "By itself: it happens once.")


def _lasting(name: str, title: Texts, text: Texts, ends: Texts = ON_REQUEST, lasts_s: float = 600) -> Fault:
    return fault(name, title, text, ends, lasts_s=lasts_s)


_PAGE = [
    fault(
        "page_crash",
        ("Página travou", "Page crashed"),
        (
            "Segue CONNECTED, a verificação nunca responde; `close_hangs` falso: close responde 500.",
            "CONNECTED stays, the check never answers; with `close_hangs` false a close answers 500.",
        ),
        BY_HAND,
    ),
    _lasting(
        "page_hang",
        ("Página parada", "Page hangs"),
        ("Nada que passa pela página responde.", "Nothing that goes through the page answers."),
    ),
    fault(
        "browser_killed",
        ("Navegador morto", "Browser killed"),
        ("Webhook browserClose; start não faz nada.", "Webhook browserClose; start is a no-op."),
        ("Com close e depois start.", "With close, then start."),
    ),
    _lasting(
        "deaf",
        ("Conectado mas surdo", "Connected but deaf"),
        (
            "Presença e confirmações seguem; mensagens chegam à página sem webhook.",
            "Presence and acks go on; messages reach the page without a webhook.",
        ),
        ON_RESTART,
    ),
    _lasting(
        "socket_timeout",
        ("Página sem telefone", "Page hears nothing"),
        (
            "Nada mais chega à página nem sai dela; o estado segue CONNECTED.",
            "Nothing reaches or leaves the page any more; CONNECTED stays.",
        ),
        ON_RESTART,
    ),
    _lasting(
        "conflict",
        ("Dois servidores, uma conta", "Two servers, one account"),
        (
            "A cada `every_s` (20 s) o outro toma a conta por `out_s` (10 s).",
            "Every `every_s` (20 s) the other takes the account for `out_s` (10 s).",
        ),
    ),
    _lasting(
        "no_in_chat",
        ("Sem inChat", "No inChat"),
        (
            "O login não diz inChat; após 180 s vem phoneNotConnected.",
            "The login does not say inChat; after 180 s comes phoneNotConnected.",
        ),
    ),
]

_STARTING = [
    _lasting(
        "stuck_initializing",
        ("Preso em INITIALIZING", "Stuck in INITIALIZING"),
        ("A página não carrega; o navegador fica.", "The page does not load; its browser stays."),
    ),
    _lasting(
        "orphan_browser",
        ("Navegador órfão", "Orphan browser"),
        (
            "close responde 200 e o navegador fica com o perfil.",
            "close answers 200 and the browser keeps the profile.",
        ),
        BY_HAND,
    ),
    _lasting(
        "no_session_name_after_close",
        ("Sem nome após close", "No name after close"),
        (
            "Depois de close, os eventos do pareamento vêm sem sessão.",
            "After a close the events of the pairing have no session.",
        ),
    ),
    _lasting(
        "autoclose_60s",
        ("Código expira em 60 s", "Code given up after 60 s"),
        ("Sem leitura em 60 s, a sessão fecha.", "Without a scan within 60 s the session closes."),
    ),
    _lasting(
        "stale_qr_after_login",
        ("Código velho após login", "Stale code after login"),
        ("O código segue nas respostas depois do login.", "The code stays in replies after the login."),
    ),
    fault(
        "device_removed",
        ("Aparelho removido", "Device removed"),
        ("O telefone desfaz o pareamento.", "The phone takes the pairing back."),
        BY_CODE,
    ),
    _lasting(
        "version_skew",
        ("Versões diferentes", "Version skew"),
        (
            "Servidor 2.8.6: uma sessão removida segue CONNECTED.",
            "Server 2.8.6: a removed session stays CONNECTED.",
        ),
    ),
    _lasting(
        "old_spelling",
        ("Grafia antiga", "Older spelling"),
        ("Vem desconnectedMobile.", "It comes as desconnectedMobile."),
    ),
    _lasting(
        "history_sync_late",
        ("Histórico atrasado", "Late history"),
        (
            "O que faltou chega após `delay_s` (120 s), em `portions` (3) a cada `every_s` (30 s).",
            "What was missed arrives after `delay_s` (120 s), in `portions` (3) every `every_s` (30 s).",
        ),
    ),
]

_MESSAGES = [
    _lasting(
        "ciphertext_then_chat",
        ("Cifrada, depois texto", "Ciphertext, then text"),
        (
            "A mensagem vem vazia e de novo após `after_s` (0.8 s); com `duplicate`, duas vezes.",
            "A message comes empty and again after `after_s` (0.8 s); with `duplicate` twice.",
        ),
    ),
    _lasting(
        "ciphertext_never_resolved",
        ("Cifrada para sempre", "Ciphertext for ever"),
        (
            "Só vem a vazia; com `readable_after_s` uma leitura posterior dá o texto.",
            "Only the empty one comes; with `readable_after_s` a later read gives the text.",
        ),
    ),
    _lasting(
        "webhook_reorder",
        ("Webhooks fora de ordem", "Webhooks out of order"),
        (
            "`window` (3) esperam uns pelos outros, até `hold_s` (1 s), e saem embaralhados.",
            "`window` (3) wait for each other, up to `hold_s` (1 s), and leave shuffled.",
        ),
    ),
    _lasting(
        "webhook_delay",
        ("Webhooks atrasados", "Late webhooks"),
        ("Saem `delay_s` (30 s) depois.", "They leave `delay_s` (30 s) later."),
    ),
    _lasting(
        "webhook_lost",
        ("Webhooks perdidos", "Lost webhooks"),
        ("Uma parte `share` (1) não sai.", "A part `share` (1) does not leave."),
    ),
    _lasting(
        "mark_read_on_delivery",
        ("Entrega marca como lida", "Delivery marks as read"),
        ("Um webhook aceito marca o chat como lido.", "A webhook that was taken marks the chat as read."),
    ),
    _lasting(
        "big_media_body",
        ("Mídia enorme no webhook", "Huge media body"),
        (
            "Mídia vem inteira no corpo, com `size_bytes` (5000000) ao menos.",
            "Media comes whole in the body, of at least `size_bytes` (5000000).",
        ),
    ),
    fault(
        "lid_migration",
        ("Contato muda para lid", "Contact moves to lid"),
        (
            "`contact` (ou um qualquer) passa a aparecer por lid, também no histórico.",
            "`contact` (or any) appears by lid from now on, in the history too.",
        ),
        BY_ITSELF,
    ),
    _lasting(
        "double_reply_400_but_sent",
        ("400 mas enviada", "400 but sent"),
        (
            "Número que não existe responde 400 e a mensagem sai assim mesmo; `phone` vale como tal.",
            "A number that does not exist answers 400 and is sent to all the same; `phone` counts as one.",
        ),
    ),
    _lasting(
        "lid14_bug",
        ("Lid de 14 dígitos", "Lid of 14 digits"),
        ("Sem isLid vira número de telefone.", "Without isLid it becomes a phone number."),
    ),
    _lasting(
        "ack_repeated",
        ("Confirmações repetidas", "Repeated acks"),
        ("Cada confirmação vem duas vezes.", "Each ack comes twice."),
    ),
    _lasting(
        "send_request_lost",
        ("Pedido de envio perdido", "Send request lost"),
        ("A conexão cai e nada sai.", "The connection falls and nothing leaves."),
    ),
    _lasting(
        "send_answer_lost",
        ("Resposta do envio perdida", "Send answer lost"),
        ("A mensagem sai e a conexão cai.", "The message leaves and the connection falls."),
    ),
    _lasting(
        "send_slow",
        ("Envio lento", "Slow sending"),
        (
            "A mensagem sai e a resposta demora `delay_s` (45 s).",
            "The message leaves and the answer takes `delay_s` (45 s).",
        ),
    ),
    _lasting(
        "send_error",
        ("Envio falha", "Sending fails"),
        ("Os envios respondem 500 e nada sai.", "Sends answer 500 and nothing leaves."),
    ),
]

_SERVER = [
    _lasting(
        "server_gone",
        ("Servidor fora do ar", "Server gone"),
        ("A porta recusa; as sessões seguem.", "The port refuses; sessions go on."),
        lasts_s=30,
    ),
    fault(
        "server_restart",
        ("Servidor reinicia", "Server restarts"),
        (
            "Todas as sessões caem por `down_s` (5 s); com `orphans` os navegadores ficam.",
            "All sessions are down for `down_s` (5 s); with `orphans` the browsers stay.",
        ),
        BY_ITSELF,
    ),
]

_GATEWAY = [
    _lasting(
        "gateway_gone",
        ("Gateway fora do ar", "Gateway gone"),
        ("A porta do gateway recusa.", "The gateway's port refuses."),
        lasts_s=30,
    ),
    _lasting(
        "proxy_504_html",
        ("504 em HTML", "504 as HTML"),
        (
            "O proxy responde HTML após `after_s` (60 s); o pedido segue por trás.",
            "The proxy answers HTML after `after_s` (60 s); the request goes on behind.",
        ),
    ),
    _lasting(
        "proxy_basic_auth",
        ("Proxy pede senha", "Proxy asks for a password"),
        ("401 com WWW-Authenticate, do proxy.", "401 with WWW-Authenticate, from the proxy."),
    ),
    _lasting(
        "slow_list",
        ("Lista lenta", "Slow list"),
        ("A lista de canais demora `delay_s` (45 s).", "The list of channels takes `delay_s` (45 s)."),
    ),
    _lasting(
        "case_alias",
        ("Nome com outra grafia", "Another spelling"),
        (
            "O webhook traz o nome com outra grafia, `alias` ou a conhecida.",
            "Webhooks carry another spelling of the name, `alias` or the known one.",
        ),
    ),
    _lasting(
        "presence_as_connection_update",
        ("Presença como conexão", "Presence as connection"),
        (
            "A presença de um contato vem como connection.update.",
            "A contact's presence comes as connection.update.",
        ),
    ),
    _lasting(
        "qr_500",
        ("QR responde 500", "QR answers 500"),
        ("O gateway antigo: conectado, /qr responde 500.", "The older gateway: connected, /qr answers 500."),
    ),
    _lasting(
        "image_swallowed",
        ("Imagem some", "Image swallowed"),
        ("Responde sucesso sem id e nada sai.", "Answers success without an id, nothing leaves."),
    ),
    _lasting(
        "no_message_id",
        ("Sem id da mensagem", "No message id"),
        ("A mensagem sai e a resposta não traz o id.", "The message leaves, the reply has no id."),
    ),
    _lasting(
        "audio_convert_failed",
        ("Conversão de áudio falha", "Audio is not converted"),
        ("WebM responde AUDIO_CONVERT_FAILED, `reason`.", "WebM answers AUDIO_CONVERT_FAILED, `reason`."),
    ),
    _lasting(
        "media_wrapped",
        ("Mídia embrulhada", "Wrapped media"),
        ("O base64 contém um JSON com o base64.", "The base64 holds JSON that holds the base64."),
    ),
    _lasting(
        "payload_too_large",
        ("Corpo grande recusado", "Large body refused"),
        (
            "Webhooks acima de `limit_bytes` (102400) se perdem no gateway.",
            "Webhooks above `limit_bytes` (102400) are lost in the gateway.",
        ),
    ),
    _lasting(
        "events_disabled",
        ("Eventos desligados", "Events switched off"),
        ("O gateway não entrega nada desta sessão.", "The gateway delivers nothing of this session."),
    ),
]

FAULTS: dict[str, Fault] = {one.name: one for one in (*_PAGE, *_STARTING, *_MESSAGES, *_SERVER, *_GATEWAY)}

# What only shows where the gateway passes a session's events on, or is asked itself.
BY_GATEWAY = tuple(one.name for one in _GATEWAY if one.name not in EVERYWHERE)

# As the demo's panel shows them: a title, and the faults below it.
GROUPS: tuple[tuple[Texts, tuple[str, ...]], ...] = (
    (("Página e navegador", "Page and browser"), tuple(one.name for one in _PAGE)),
    (("Início e pareamento", "Start and pairing"), tuple(one.name for one in _STARTING)),
    (
        ("Mensagens que chegam", "Messages coming in"),
        tuple(one.name for one in _MESSAGES if one.name not in SENDING),
    ),
    (("Mensagens que saem", "Messages going out"), SENDING),
    (("Gateway", "Gateway"), BY_GATEWAY),
    (("Servidor e gateway inteiros", "The whole server and gateway"), EVERYWHERE),
)
