"""What one should see in the hub for each fault of the demo's WhatsApp, in both languages of the screen."""

from __future__ import annotations

Texts = tuple[str, str]  # pt-BR, en

NOT_ASKED: Texts = (
    "Nada: este canal envia e lê pelo próprio servidor. Só quem liga apenas um gateway passa por aqui.",
    "Nothing: this channel sends and reads by the server itself. Only who connects a gateway alone comes "
    "here.",
)

_PAGE: dict[str, Texts] = {
    "page_crash": (
        "Em 15 s, “Travada”: o servidor segue dizendo CONNECTED, a prova falha. Com agente, o navegador é "
        "encerrado e a sessão volta em segundos. Sem agente, fechar não ajuda: depois de alguns minutos "
        "alguém é chamado; encerre o navegador aqui em cima e salve os ajustes da conexão.",
        "Within 15 s “Hung”: the server goes on saying CONNECTED, the proof fails. With an agent the "
        "browser is ended, and the session is back in seconds. Without one a close does not help: after "
        "some minutes a person is called; end the browser above and save the connection's settings.",
    ),
    "page_hang": (
        "Como a página travada: “Travada” em 15 s, e fechar não tem resposta.",
        "As with a crashed page: “Hung” within 15 s, and a close gets no answer.",
    ),
    "browser_killed": (
        "Em 10 s, “Navegador perdido”; é fechada e iniciada, e volta em poucos segundos. A lacuna conta o "
        "que faltou.",
        "Within 10 s “Browser lost”; it is closed and started, and is back in seconds. The gap accounts for "
        "what was missed.",
    ),
    "deaf": (
        "Um cliente escreve logo em seguida. Em 15 s, “Conectada, mas surda”, com a mensagem como prova; "
        "ela já está na conversa, marcada como recuperada. A sessão é fechada e iniciada; a lacuna fecha "
        "com 1 mensagem.",
        "A customer writes right away. Within 15 s “Connected but deaf”, with the message as the evidence; "
        "it is in its conversation already, marked as recovered. The session is closed and started; the gap "
        "closes with 1 message.",
    ),
    "socket_timeout": (
        "O cliente que escreve não chega à página, e o servidor diz CONNECTED. Uma pergunta ao próprio "
        "WhatsApp fica sem resposta: em 20 s, “Conectada, mas surda”. Depois do reinício, a mensagem é "
        "trazida.",
        "The customer who writes does not reach the page, and the server says CONNECTED. A question to "
        "WhatsApp itself gets no answer: within 20 s “Connected but deaf”. After the restart the message is "
        "brought in.",
    ),
    "conflict": (
        "De 20 em 20 s a outra ponta toma a conta por 10 s, e o que chega nesse meio-tempo entra na página "
        "sem webhook. Deixe clientes escreverem: o que faltou é achado como surdez e trazido.",
        "Every 20 s the other end takes the account for 10 s, and what comes meanwhile enters the page "
        "without a webhook. Let customers write: what is missing is found as deafness and brought in.",
    ),
    "no_in_chat": (
        "Nada: a página responde e o WhatsApp responde a ela. Uma palavra a mais ou a menos não prova nada.",
        "Nothing: the page answers, and WhatsApp answers it. A word more or less proves nothing.",
    ),
}

_STARTING: dict[str, Texts] = {
    "stuck_initializing": (
        "Só na próxima abertura: encerre também o navegador, aqui em cima. Depois de tentar em vão, "
        "“Iniciando” há mais de 20 s: com agente o navegador que sobra é encerrado e a sessão volta quando "
        "a falha acabar; sem agente, alguém é chamado.",
        "At the next opening only: end the browser above, too. After a try in vain it is “Starting” for "
        "more than 20 s: with an agent the leftover browser is ended, and the session is back once the "
        "fault is over; without one a person is called.",
    ),
    "orphan_browser": (
        "Só na próxima vez que é fechada: ligue também “Conectado mas surdo”. O navegador antigo segura o "
        "perfil e a sessão não abre; alguns minutos depois o agente o encerra; sem agente, alguém é "
        "chamado.",
        "The next time it is closed only: switch on “Connected but deaf”, too. The old browser holds the "
        "profile, and the session does not open; some minutes later the agent ends it; without one a person "
        "is called.",
    ),
    "no_session_name_after_close": (
        "Nada: cada sessão tem um endereço próprio de webhook, que diz de quem é o evento.",
        "Nothing: each session has a webhook address of its own, which says whose event it is.",
    ),
    "autoclose_60s": (
        "Enquanto ninguém lê o código, a sessão fecha a cada minuto; ela é aberta de novo, com um código "
        "novo.",
        "While nobody scans the code, the session closes every minute; it is opened again, with a new code.",
    ),
    "stale_qr_after_login": (
        "Nada: o código só é mostrado enquanto o servidor pede uma leitura.",
        "Nothing: the code is shown only while the server wants a scan.",
    ),
    "device_removed": (
        "Em 15 s, “Precisa de alguém”, com o que fazer; nada é tentado até que alguém leia o código (botão "
        "acima). Depois o histórico é lido de novo após 2, 10 e 60 minutos.",
        "Within 15 s “Needs a person”, with what to do; nothing is tried until somebody scans the code "
        "(button above). Then the history is read again after 2, 10 and 60 minutes.",
    ),
    "version_skew": (
        "A versão ao lado de “Servidor” passa a 2.8.6. Remova também o aparelho: o servidor segue "
        "CONNECTED, e mesmo assim a página não obtém resposta do WhatsApp: “Conectada, mas surda” em 20 s, "
        "e depois o código.",
        "The version beside “Server” becomes 2.8.6. Remove the device, too: the server stays CONNECTED, and "
        "yet the page gets no answer from WhatsApp: “Connected but deaf” within 20 s, and then the code.",
    ),
    "old_spelling": (
        "Nada por si só; com “Aparelho removido” o evento vem com a grafia antiga e é entendido do mesmo "
        "modo.",
        "Nothing by itself; with “Device removed” the event comes in the older spelling, and is understood "
        "all the same.",
    ),
    "history_sync_late": (
        "Depois de um reinício ou pareamento a página ainda não sabe tudo: a primeira leitura traz pouco, "
        "as de 2, 10 e 60 minutos depois trazem o resto.",
        "After a restart or a pairing the page does not know everything yet: the first reading brings "
        "little, those 2, 10 and 60 minutes later bring the rest.",
    ),
}

_COMING: dict[str, Texts] = {
    "ciphertext_then_chat": (
        "A mensagem aparece primeiro sem texto e logo com ele: uma só mensagem na conversa.",
        "The message appears without its text first, then with it: one message in its conversation.",
    ),
    "ciphertext_never_resolved": (
        "A mensagem fica “ainda não decifrada”; a leitura seguinte a conta, e a lacuna dirá que algo se "
        "perdeu.",
        "The message stays undecrypted; the next reading counts it, and its gap will say that something is "
        "lost.",
    ),
    "webhook_reorder": (
        "Nada: a conversa mantém a ordem em que foi escrita.",
        "Nothing: the conversation keeps the order in which it was written.",
    ),
    "webhook_delay": (
        "A demo espera só 5 s por um webhook, por isso a sessão passa por surda e a mensagem é trazida; "
        "quando o webhook enfim chega, nada é duplicado.",
        "The demo waits only 5 s for a webhook, so the session is taken for deaf and the message is brought "
        "in; when the webhook comes at last, nothing is doubled.",
    ),
    "webhook_lost": (
        "Como surda, e reiniciar não ajuda: cada mensagem é trazida em 15 s de qualquer forma, e as "
        "tentativas ficam cada vez mais raras.",
        "As if deaf, and a restart does not help: each message is brought in within 15 s all the same, and "
        "tries become rarer and rarer.",
    ),
    "mark_read_on_delivery": (
        "Nada no Atalaia: o que cada pessoa ainda não leu é contado aqui, e não no celular.",
        "Nothing in Atalaia: what each person has not read is counted here, not on the phone.",
    ),
    "big_media_body": (
        "O arquivo vem dentro do webhook; ele é guardado ao lado do registro, e a mensagem aparece um pouco "
        "depois.",
        "The file comes within the webhook; it is kept beside the log, and the message appears a little "
        "later.",
    ),
    "lid_migration": (
        "Um contato passa a escrever por uma identidade oculta; a conversa continua a mesma, com a prova no "
        "contato.",
        "A contact writes by a hidden identity from now on; the conversation stays the same, with the proof "
        "at the contact.",
    ),
}

_GOING: dict[str, Texts] = {
    "double_reply_400_but_sent": (
        "Responda a Marina: o servidor diz 400, que o número dela não existe, e envia. A mensagem é achada "
        "na conversa em seguida e consta como enviada, uma vez; o trabalho mostra a dúvida.",
        "Answer Marina: the server says 400, that her number does not exist, and sends. The message is "
        "found in the chat at once and stands as sent, once; its job shows the doubt.",
    ),
    "lid14_bug": (
        "Nada: a uma identidade oculta o Atalaia escreve dizendo que é uma.",
        "Nothing: Atalaia says that a hidden identity is one when it writes to it.",
    ),
    "ack_repeated": (
        "Nada: uma confirmação repetida não muda os tiques.",
        "Nothing: a repeated receipt does not change the ticks.",
    ),
    "send_request_lost": (
        "Responda a alguém: a mensagem fica “talvez enviada”; não é encontrada na conversa, e alguém decide "
        "se sai de novo.",
        "Answer somebody: the message stands as “perhaps sent”; it is not found in the chat, and a person "
        "decides whether to send it again.",
    ),
    "send_answer_lost": (
        "Responda a alguém: a conexão cai depois do envio. A mensagem é encontrada na conversa e consta "
        "como enviada, uma vez.",
        "Answer somebody: the connection falls after the message left. It is found in the chat and stands "
        "as sent, once.",
    ),
    "send_slow": (
        "Responda a alguém: a resposta demora demais, e a mensagem é procurada na conversa em vez de sair "
        "de novo.",
        "Answer somebody: the answer takes too long, and the message is looked for in the chat instead of "
        "being sent again.",
    ),
    "send_error": (
        "Responda a alguém: o servidor responde 500, o que não prova nada; a mensagem fica “talvez enviada” "
        "até alguém decidir.",
        "Answer somebody: the server answers 500, which proves nothing; the message stands as “perhaps "
        "sent” until somebody decides.",
    ),
}

_GATEWAY: dict[str, Texts] = {
    "case_alias": (
        "Nada: um nome com outra grafia é o mesmo canal, e o endereço do webhook já diz qual.",
        "Nothing: a name in another spelling is the same channel, and the webhook's address says which "
        "anyway.",
    ),
    "presence_as_connection_update": (
        "Nada: a presença de um contato não muda o estado da conexão; ela é contada como presença.",
        "Nothing: a contact's presence does not change the state of the connection; it is counted as "
        "presence.",
    ),
    "qr_500": NOT_ASKED,
    "image_swallowed": NOT_ASKED,
    "no_message_id": NOT_ASKED,
    "audio_convert_failed": NOT_ASKED,
    "media_wrapped": NOT_ASKED,
    "payload_too_large": (
        "Ligue também “Mídia enorme no webhook” e mande uma foto: o gateway perde o webhook, a página tem a "
        "mensagem, e ela é trazida em 15 s.",
        "Switch on “Huge media body”, too, and send a photo: the gateway loses the webhook, the page has "
        "the message, and it is brought in within 15 s.",
    ),
    "events_disabled": (
        "O gateway cala e diz que tudo vai bem. Como surda: achada em 15 s, as mensagens são trazidas, e "
        "reiniciar não ajuda.",
        "The gateway falls silent and says that all is well. As if deaf: found within 15 s, messages are "
        "brought in, and a restart does not help.",
    ),
}

_SERVER: dict[str, Texts] = {
    "server_gone": (
        "Os dois canais perdem a conexão em 15 s e esperam, com a hora da próxima tentativa. Ao voltar, "
        "cada um prova de novo o que ouve, e sua lacuna é conferida.",
        "Both channels lose their connection within 15 s and wait, with the time of the next try. Once it "
        "is back, each proves anew what it hears, and its gap is checked.",
    ),
    "server_restart": (
        "As duas sessões estão fechadas depois: são iniciadas, e o que chegou enquanto isso é trazido.",
        "Both sessions are closed afterwards: they are started, and what came meanwhile is brought in.",
    ),
    "gateway_gone": (
        "Só o canal de vendas: seus webhooks se perdem. Quando um cliente escreve, é achado surdo e a "
        "mensagem é trazida.",
        "Only the sales channel: its webhooks are lost. When a customer writes, it is found deaf and the "
        "message is brought in.",
    ),
    "proxy_504_html": NOT_ASKED,
    "proxy_basic_auth": NOT_ASKED,
    "slow_list": NOT_ASKED,
}

EXPECTED: dict[str, Texts] = _PAGE | _STARTING | _COMING | _GOING | _GATEWAY | _SERVER
