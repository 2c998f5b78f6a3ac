"""What people write to the demo's two WhatsApp channels. All of it is invented."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["chat", "image", "ptt", "document", "location"]


@dataclass(frozen=True)
class Line:
    """One message of a dialogue. ours: written by the channel's own people, on the phone.

    text: what it says; of a file its caption, or its name for a document.
    """

    text: str
    ours: bool = False
    kind: Kind = "chat"


def c(text: str, kind: Kind = "chat") -> Line:
    return Line(text, kind=kind)


def o(text: str) -> Line:
    return Line(text, ours=True)


Dialogue = tuple[Line, ...]

# First names and surnames, put together so that no two of one phone are alike.
FIRST = (
    "Marina", "Tiago", "Luciana", "Roberto", "Bianca", "Edson", "Patrícia", "Otávio", "Simone", "Rafael",
    "Denise", "Caio", "Vera", "Murilo", "Sônia", "Igor", "Célia", "Davi",
)  # fmt: skip
LAST = ("Prado", "Antunes", "Furtado", "Brandão", "Siqueira", "Teles", "Valença")

SUPPORT: tuple[Dialogue, ...] = (
    (
        c("Bom dia, o portão da garagem não abre desde ontem à noite"),
        o("Bom dia! Qual é o condomínio?"),
        c("Edifício Jequitibá, torre B"),
        c("A luz do leitor fica vermelha", "image"),
        o("Obrigado, é a fonte do leitor. O técnico passa hoje até as 14h."),
        c("Perfeito, obrigada"),
    ),
    (
        c("Oi, perdi minha tag de acesso"),
        o("Oi! Já bloqueei a tag perdida. Quer retirar a nova na portaria?"),
        c("Sim, pode ser amanhã de manhã"),
        o("Combinado, fica separada em seu nome."),
    ),
    (
        c("O interfone do 82 toca e ninguém consegue falar"),
        c("", "ptt"),
        o("Ouvi o áudio, parece o microfone do monofone. Vou abrir um chamado."),
        c("Tem previsão?"),
    ),
    (
        c("Meu pedido de entrega ficou na portaria ou voltou?"),
        o("Está na portaria, prateleira 3."),
        c("Ótimo 🙏"),
    ),
    (
        c("Boa tarde. A câmera 4 do estacionamento está sem imagem"),
        c("A última gravação é de ontem, 23h12"),
        o("Boa tarde, já estamos vendo. O gravador perdeu esse canal."),
        c("Ok, me avisa quando voltar"),
        o("Voltou agora. Era o conector na caixa do subsolo."),
        c("Confirmado, obrigado!"),
    ),
    (
        c("Vocês atendem no feriado?"),
        o("Sim, plantão 24 horas por este número."),
    ),
    (
        c("O morador do 31 vai viajar e quer liberar a irmã"),
        c("autorizacao-31.pdf", "document"),
        o("Recebido. Liberada de sexta a domingo."),
    ),
    (
        c("Elevador de serviço parado no 5º andar"),
        o("Tem alguém dentro?"),
        c("Não, está vazio"),
        o("A manutenção foi acionada, chega em 40 minutos."),
        c("Estou no local", "location"),
    ),
    (
        c("Segue a foto do medidor", "image"),
        o("Anotado, obrigado."),
    ),
    (
        c("A campainha toca sozinha de madrugada, já é a terceira noite"),
        c("Alguém pode vir olhar?"),
    ),
)

SALES: tuple[Dialogue, ...] = (
    (
        c("Bom dia, gostaria de um orçamento para 48 apartamentos"),
        o("Bom dia! Já existe cabeamento nas unidades?"),
        c("Existe, de 2014"),
        o("Então dá para aproveitar quase tudo. Envio a proposta ainda hoje."),
        c("Aguardo"),
    ),
    (
        c("Qual o valor da visita técnica?"),
        o("A primeira visita é sem custo na capital."),
        c("Pode ser na quinta?"),
        o("Quinta às 10h está reservado."),
        c("Fechado 👍"),
    ),
    (
        c("Pode me mandar a segunda via do boleto?"),
        o("Claro, segue por aqui em um minuto."),
        c("comprovante.pdf", "document"),
        o("Pagamento confirmado, obrigado."),
    ),
    (
        c("Vi o anúncio de vocês. O aplicativo funciona sem internet no prédio?"),
        o("Funciona pela rede do próprio celular."),
        c("E se o morador não tem celular?"),
        c("", "ptt"),
    ),
    (
        c("Boa tarde, o contrato vence este mês. Tem desconto na renovação?"),
        o("Boa tarde! Para 24 meses são 8%."),
        c("Vou levar para a assembleia e retorno"),
    ),
    (
        c("Este é o quadro atual da portaria", "image"),
        c("Cabe o novo módulo aí?"),
        o("Cabe, sobra um trilho."),
    ),
    (c("Ainda estou esperando a proposta, conseguem enviar hoje?"),),
)

GROUP: tuple[str, ...] = (
    "Pessoal, a bomba 2 ficou em manual",
    "Troca de turno feita, tudo normal",
    "Alguém tem a chave do quadro do 2º subsolo?",
    "Está comigo, deixo na guarita",
    "Água volta às 16h segundo a concessionária",
    "Visita do bombeiro amanhã às 9h",
    "Anotado",
    "Portão lateral liberado para a mudança do 64",
)

# What a customer writes when somebody presses the panel's button.
PRESSED: tuple[str, ...] = (
    "Oi, vocês receberam minha mensagem?",
    "Alguém consegue me atender?",
    "Preciso de ajuda com o portão, por favor",
    "Estou na frente do prédio e ninguém abre",
)
