"""What can go wrong with an Asterisk, by name: what it does, how it ends, in both languages of the screen."""

from __future__ import annotations

from simulators.fault import Fault, fault

RECONNECT = ("Quando o cliente se reconecta.", "When the client reconnects.")
BY_ITSELF = ("Sozinha: só acontece uma vez.", "By itself: it happens once.")
ON_REQUEST = ("Quando é encerrada, ou quando o tempo acaba.", "When it is ended, or its time is over.")

_ALL = [
    fault(
        "drop",
        ("Cortar a conexão", "Cut the connection"),
        ("O TCP é cortado sem quadro de fechamento.", "TCP is cut without a close frame."),
        RECONNECT,
    ),
    fault(
        "flap",
        ("Conexão instável", "Flapping connection"),
        (
            "A conexão é cortada de novo a cada 2 segundos.",
            "The connection is cut again every 2 seconds.",
        ),
        ON_REQUEST,
        lasts_s=20,
    ),
    fault(
        "half-open",
        ("Conexão pela metade", "Half-open connection"),
        (
            "O TCP continua aberto, mas nada mais chega e nenhum ping é respondido; a aplicação ainda existe "
            "no Asterisk (leitor lento, caso 2).",
            "TCP stays open, but nothing arrives any more and no ping is answered; the application still "
            "exists in Asterisk (slow reader, case 2).",
        ),
        RECONNECT,
    ),
    fault(
        "silent",
        ("Silêncio", "Silence"),
        (
            "Nenhum evento chega mais; pings são respondidos e a aplicação ainda existe.",
            "No event arrives any more; pings are answered and the application still exists.",
        ),
        RECONNECT,
    ),
    fault(
        "mute",
        ("Aplicação esquecida", "Forgotten application"),
        (
            "A aplicação deixa de existir no Asterisk, a conexão fica aberta e muda (caso 1).",
            "The application is gone from Asterisk, the connection stays open and mute (case 1).",
        ),
        RECONNECT,
    ),
    fault(
        "mute-next",
        ("Próxima conexão nasce muda", "Next connection is born mute"),
        (
            "A próxima conexão é aceita, mas sua aplicação não existe.",
            "The next connection is accepted, but its application does not exist.",
        ),
        ("Depois de uma conexão.", "After one connection."),
        lasts_s=60,
    ),
    fault(
        "race",
        ("Corrida na reconexão", "Reconnect race"),
        (
            "Quem se reconecta com um nome já usado fica aberto e mudo; um nome novo funciona.",
            "Whoever reconnects with a name used before is open and mute; a fresh name works.",
        ),
        ON_REQUEST,
        lasts_s=60,
    ),
    fault(
        "replaced",
        ("Nome tomado por outro", "Name taken by another"),
        (
            "Outro cliente usa o mesmo nome de aplicação: ApplicationReplaced, depois silêncio (caso 3).",
            "Another client uses the same application name: ApplicationReplaced, then silence (case 3).",
        ),
        RECONNECT,
    ),
    fault(
        "hung",
        ("Asterisk travado", "Asterisk hangs"),
        (
            "As portas aceitam conexões e nunca respondem; depois tudo chega de uma vez (caso 4).",
            "Ports accept connections and never answer; afterwards everything arrives at once (case 4).",
        ),
        ON_REQUEST,
        lasts_s=20,
    ),
    fault(
        "bad-gateway",
        ("Proxy responde 502", "Proxy answers 502"),
        (
            "REST e WebSocket recebem 502 de um proxy no caminho; a conexão aberta cai.",
            "REST and WebSocket get a 502 from a proxy in between; the open connection falls.",
        ),
        ON_REQUEST,
        lasts_s=20,
    ),
    fault(
        "not-loaded",
        ("ARI não carregado", "ARI not loaded"),
        (
            "A porta está aberta, mas tudo responde 404; a conexão aberta cai.",
            "The port is open, but everything answers 404; the open connection falls.",
        ),
        ON_REQUEST,
        lasts_s=10,
    ),
    fault(
        "wrong-password",
        ("Senha recusada", "Password refused"),
        (
            "A senha foi trocada no Asterisk: tudo responde 401; a conexão aberta cai.",
            "The password was changed in Asterisk: everything answers 401; the open connection falls.",
        ),
        ON_REQUEST,
        lasts_s=30,
    ),
    fault(
        "restart",
        ("Asterisk morre", "Asterisk dies"),
        (
            "O processo morre no meio das chamadas e volta um segundo depois, vazio, com nomes desde 0.",
            "The process dies in mid-call and is back a second later, empty, with names from 0.",
        ),
        BY_ITSELF,
    ),
    fault(
        "stop",
        ("Asterisk reiniciado com cuidado", "Asterisk stopped gracefully"),
        (
            "Todas as chamadas são encerradas e avisadas, a conexão termina, o servidor volta em 3 segundos.",
            "All calls are ended and told, the connection ends, the server is back in 3 seconds.",
        ),
        BY_ITSELF,
    ),
    fault(
        "duplicate",
        ("Eventos repetidos", "Repeated events"),
        ("Um em cada três eventos chega duas vezes.", "One event in three arrives twice."),
        ON_REQUEST,
        lasts_s=30,
    ),
    fault(
        "reorder",
        ("Eventos fora de ordem", "Events out of order"),
        (
            "Eventos vizinhos de canais diferentes trocam de lugar.",
            "Neighbouring events of different channels change places.",
        ),
        ON_REQUEST,
        lasts_s=30,
    ),
    fault(
        "slow",
        ("Eventos atrasados", "Late events"),
        ("Cada evento chega 3 segundos depois.", "Every event arrives 3 seconds late."),
        ON_REQUEST,
        lasts_s=30,
    ),
    fault(
        "garbage",
        ("Quadro ilegível", "Unreadable frame"),
        ("Um quadro que não é JSON.", "A frame that is not JSON."),
        BY_ITSELF,
    ),
    fault(
        "huge-frame",
        ("Quadro de 10 MB", "10 MB frame"),
        ("Um evento de 10 megabytes.", "An event of 10 megabytes."),
        BY_ITSELF,
    ),
    fault(
        "unknown-event",
        ("Evento desconhecido", "Unknown event"),
        ("Um tipo de evento que nenhuma versão conhece.", "An event type that no version knows."),
        BY_ITSELF,
    ),
    fault(
        "unknown-state",
        ("Estado desconhecido", "Unknown state"),
        ("Um canal muda para um estado que ninguém conhece.", "A channel changes to a state nobody knows."),
        BY_ITSELF,
    ),
]

FAULTS: dict[str, Fault] = {one.name: one for one in _ALL}
