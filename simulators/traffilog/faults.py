"""What can go wrong with the telematics upstream, by name, in both languages of the screen.

Lasting faults are rules: they hold for a time, for so many `times`, or until they are ended, and may be
narrowed by `action`, `vehicle_id`, `serial`, `client_id`.
"""

from __future__ import annotations

from simulators.fault import Fault, fault

RECONNECT = ("Quando o cliente se reconecta.", "When the client reconnects.")
BY_ITSELF = ("Sozinha: só acontece uma vez.", "By itself: it happens once.")
ON_REQUEST = ("Quando é encerrada, ou quando o tempo acaba.", "When it is ended, or its time is over.")
NEVER = ("Depois de um login novo.", "After a new login.")


def _rule(name: str, title: tuple[str, str], text: tuple[str, str], lasts_s: float = 60) -> Fault:
    return fault(name, title, text, ON_REQUEST, lasts_s=lasts_s)


_LOGIN = [
    _rule(
        "login-empty",
        ("Login sem corpo", "Empty login body"),
        ("O login responde 200 com zero bytes.", "The login answers 200 with zero bytes."),
    ),
    _rule(
        "login-refused",
        ("Senha recusada", "Password refused"),
        ("O login responde sem token.", "The login answers without a token."),
    ),
    _rule(
        "login-status",
        ("Login responde 502", "Login answers 502"),
        ("Um proxy responde no lugar da API (`status`).", "A proxy answers instead of the API (`status`)."),
    ),
    _rule(
        "login-slow",
        ("Login lento", "Slow login"),
        ("O login demora `delay_s` (30 s).", "The login takes `delay_s` (30 s)."),
    ),
    _rule(
        "login-hangs",
        ("Login não responde", "Login never answers"),
        ("A requisição fica aberta.", "The request stays open."),
    ),
    _rule(
        "login-pool-exhausted",
        ("Login responde 6666", "Login answers 6666"),
        ("O pool de conexões do sistema acabou.", "The upstream's connection pool is exhausted."),
    ),
]

_SOCKET = [
    _rule(
        "handshake-refused",
        ("Handshake recusado", "Handshake refused"),
        ("O WebSocket responde `status` (502).", "The WebSocket answers `status` (502)."),
    ),
    _rule(
        "handshake-hangs",
        ("Handshake não termina", "Handshake never ends"),
        ("A conexão abre e nada responde.", "The connection opens and nothing answers."),
    ),
    fault(
        "drop",
        ("Cortar os sockets", "Cut the sockets"),
        ("O TCP é cortado sem quadro de fechamento.", "TCP is cut without a close frame."),
        RECONNECT,
    ),
    fault(
        "close",
        ("Fechar os sockets", "Close the sockets"),
        ("O servidor fecha com `code` (1001).", "The server closes with `code` (1001)."),
        RECONNECT,
    ),
    _rule(
        "flap",
        ("Conexão instável", "Flapping connection"),
        ("Os sockets são cortados a cada `every_s` (5 s).", "Sockets are cut every `every_s` (5 s)."),
    ),
    fault(
        "half-open",
        ("Conexão pela metade", "Half-open connection"),
        (
            "O TCP fica aberto, nada chega e nenhum ping é respondido.",
            "TCP stays open, nothing arrives and no ping is answered.",
        ),
        RECONNECT,
    ),
    fault(
        "mute",
        ("Socket mudo", "Mute socket"),
        ("Pings são respondidos, nada mais chega.", "Pings are answered, nothing else arrives."),
        RECONNECT,
    ),
    fault(
        "garbage",
        ("Quadro ilegível", "Unreadable frame"),
        ("Um texto cortado que não é JSON.", "A torn text that is no JSON."),
        BY_ITSELF,
    ),
    fault(
        "unknown-push",
        ("Push desconhecido", "Unknown push"),
        ("Um `data_source` que ninguém conhece.", "A `data_source` that nobody knows."),
        BY_ITSELF,
    ),
    fault(
        "raw-error",
        ("Erro sem dono", "Unattributed error"),
        ("Um erro bruto `value` (500) sem mtkn.", "A raw error `value` (500) without mtkn."),
        BY_ITSELF,
    ),
    _rule(
        "gone",
        ("Sistema inacessível", "Upstream gone"),
        (
            "Conexões são recusadas e as abertas caem; os processos continuam.",
            "Connections are refused and open ones fall; processes go on.",
        ),
        lasts_s=600,
    ),
]

_ANSWERS = [
    _rule(
        "lost-request",
        ("Pedido perdido", "Lost request"),
        ("O pedido não tem efeito nem resposta.", "The request has neither effect nor answer."),
    ),
    _rule(
        "drop-answer",
        ("Resposta perdida", "Lost answer"),
        ("O pedido tem efeito, a resposta não chega.", "The request has its effect, no answer comes."),
    ),
    _rule(
        "delay-answer",
        ("Resposta atrasada", "Late answer"),
        ("A resposta demora mais `delay_s` (30 s).", "The answer takes `delay_s` (30 s) longer."),
    ),
    _rule(
        "cut-before",
        ("Corte antes do efeito", "Cut before the effect"),
        ("O socket cai e o pedido não tem efeito.", "The socket falls, the request has no effect."),
    ),
    _rule(
        "cut-after",
        ("Corte depois do efeito", "Cut after the effect"),
        ("O pedido tem efeito e o socket cai.", "The request has its effect and the socket falls."),
    ),
    _rule(
        "pool-exhausted",
        ("Pool esgotado (6666)", "Pool exhausted (6666)"),
        ("As ações respondem 6666 sem efeito.", "Actions answer 6666 without effect."),
    ),
    _rule(
        "answer-value",
        ("Erro embrulhado", "Wrapped error"),
        ("As ações respondem `value` (500).", "Actions answer `value` (500)."),
    ),
    _rule(
        "forbidden",
        ("Proibido (403)", "Forbidden (403)"),
        ("Tudo responde 403 bruto.", "Everything answers a raw 403."),
    ),
    _rule(
        "fragments",
        ("Sempre em fragmentos", "Always in fragments"),
        ("Toda resposta vem em fragmentos.", "Every answer comes in fragments."),
    ),
    _rule(
        "orphan-fragments",
        ("Fragmentos sem início", "Fragments without a head"),
        ("O início da resposta se perde.", "The head of the answer is lost."),
    ),
    _rule(
        "encoded-answer",
        ("Resposta codificada", "Encoded answer"),
        ("A resposta inteira vem codificada.", "The whole answer is percent-encoded."),
    ),
]

_SESSIONS = [
    _rule(
        "burnt-token",
        ("Assinatura responde 406", "Subscription answers 406"),
        ("O token não serve mais para assinar.", "The token is no longer good for subscriptions."),
    ),
    fault(
        "burn-tokens",
        ("Queimar os tokens", "Burn the tokens"),
        ("Todos os tokens respondem 406 ao assinar.", "All tokens answer 406 when subscribing."),
        NEVER,
    ),
    fault(
        "forget-tokens",
        ("Esquecer os tokens", "Forget the tokens"),
        ("Nenhum token abre mais um socket.", "No token opens a socket any more."),
        NEVER,
    ),
    _rule(
        "slot-busy",
        ("Preparação ocupada (8)", "Slot busy (8)"),
        ("Outro processo do cliente está em preparo.", "Another process of the client is prepared."),
    ),
    _rule(
        "no-process",
        ("Sem número de processo", "No process id"),
        ("A revisão responde vazia.", "The review answers empty."),
    ),
    _rule(
        "process-not-found",
        ("Processo não encontrado", "Process not found"),
        ("A revisão responde 404.", "The review answers 404."),
    ),
]

_UNITS = [
    _rule(
        "offline",
        ("Unidade fora do ar", "Unit offline"),
        ("A unidade desconecta e não responde.", "The unit disconnects and does not answer."),
    ),
    _rule(
        "mute-pushes",
        ("Sem pushes", "No pushes"),
        ("Tudo acontece, mas nada é avisado.", "Everything happens, nothing is told."),
    ),
    _rule(
        "sb-no-response",
        ("SB sem resposta", "SB without response"),
        ("A unidade não responde ao Scheme Builder.", "The unit does not answer the Scheme Builder."),
    ),
    _rule(
        "sb-mute-end",
        ("SB termina em silêncio", "SB ends in silence"),
        ("Sem unidade, nenhum estado final é dito.", "Without a unit no final status is told."),
    ),
    _rule(
        "sb-silence",
        ("SB para no meio", "SB stops in the middle"),
        (
            "O processo para em `at` (0.5) e, com `for_s`, segue depois.",
            "The process stops at `at` (0.5) and, with `for_s`, goes on later.",
        ),
    ),
    _rule(
        "sb-error",
        ("SB com erro", "SB with an error"),
        (
            "Em `at` (0.5) vem o estado `word` (Error) com o texto `error`.",
            "At `at` (0.5) comes the status `word` (Error) with the text `error`.",
        ),
    ),
    _rule(
        "sb-disconnected",
        ("SB desconectado", "SB disconnected"),
        (
            "Em `at` vem o estado `word` (Disconnected Unit) e a unidade sai; com `for_s` volta.",
            "At `at` comes the status `word` (Disconnected Unit) and the unit goes; with `for_s` it returns.",
        ),
    ),
    _rule(
        "sb-batch-timeout",
        ("SB repete um lote", "SB repeats a batch"),
        ("Em `at` vêm Batch Timeout e Retry.", "At `at` come Batch Timeout and Retry."),
    ),
    _rule(
        "sb-done",
        ("SB termina com Done", "SB ends with Done"),
        ("O estado final é Done em vez de Completed.", "The last status is Done, not Completed."),
    ),
    _rule(
        "sb-no-key",
        ("SB sem chave", "SB without key"),
        ("Completed, mas a unidade fica com a chave antiga.", "Completed, the unit keeps its old key."),
    ),
    _rule(
        "gsensor-unacknowledged",
        ("G-sensor sem confirmação", "G-sensor unacknowledged"),
        ("A unidade não confirma o comando.", "The unit does not acknowledge the command."),
    ),
    _rule(
        "quick-command-refused",
        ("Comando rápido 1001", "Quick command 1001"),
        ("Responde 1001 e os valores vêm assim mesmo.", "Answers 1001, the values come all the same."),
    ),
    _rule(
        "modules-stuck",
        ("Registro incompleto", "Registry incomplete"),
        ("Só alguns módulos aparecem, sem barramentos.", "Only some modules appear, no buses."),
    ),
]

_PORTAL = [
    fault(
        "portal-evict",
        ("Outro login no portal", "Another portal login"),
        ("A sessão do portal é tomada por outro.", "The portal session is taken by somebody else."),
        NEVER,
    ),
    _rule(
        "portal-stale",
        ("Sessão velha, sem linhas", "Stale session, no rows"),
        (
            "A sessão se perde; até um login novo tudo responde vazio, sem erro.",
            "The session is lost; until a new login everything answers empty, without an error.",
        ),
    ),
    _rule(
        "portal-expired",
        ("Sessão vencida", "Expired session"),
        ('Responde login="-1".', 'Answers login="-1".'),
    ),
    _rule(
        "portal-html",
        ("Página HTML", "HTML page"),
        ("Uma página HTML vem no lugar do XML.", "An HTML page comes instead of XML."),
    ),
    _rule(
        "portal-action-error",
        ("Erro da ação", "Action error"),
        ("Responde `Action: X error`.", "Answers `Action: X error`."),
    ),
    _rule(
        "portal-lost-request",
        ("Pedido perdido (portal)", "Lost request (portal)"),
        ("A conexão cai sem efeito.", "The connection falls, without effect."),
    ),
    _rule(
        "portal-lost-answer",
        ("Resposta perdida (portal)", "Lost answer (portal)"),
        ("O efeito acontece e a conexão cai.", "The effect happens and the connection falls."),
    ),
    _rule(
        "portal-slow",
        ("Portal lento", "Slow portal"),
        ("A resposta demora `delay_s` (60 s).", "The answer takes `delay_s` (60 s)."),
    ),
    _rule(
        "portal-link-failed",
        ("Falha ao vincular", "Failed to link"),
        ("O salvamento responde Failed to link unit.", "The save answers Failed to link unit."),
    ),
    _rule(
        "portal-save-ignored",
        ("Salvamento ignorado", "Save ignored"),
        ("Responde sucesso e nada muda.", "Answers success and nothing changes."),
    ),
    _rule(
        "portal-order-hidden",
        ("Pedido não aparece", "Order not visible"),
        ("O veículo do pedido demora `delay_s` (60 s).", "The order's vehicle takes `delay_s` (60 s)."),
    ),
    _rule(
        "portal-no-privilege",
        ("Sem privilégio", "No privilege"),
        ("A troca de empresa responde No privilege to edit.", "Moving answers No privilege to edit."),
    ),
]

FAULTS: dict[str, Fault] = {
    one.name: one for one in (*_LOGIN, *_SOCKET, *_ANSWERS, *_SESSIONS, *_UNITS, *_PORTAL)
}
