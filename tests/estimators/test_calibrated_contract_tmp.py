import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator
from sklearn.linear_model import LogisticRegression
from fabula.estimators import *
ES=[Calibrated(LinearDiscriminantAnalysis()), Calibrated(NaiveBayes(),"sigmoid"), Calibrated(LogisticRegression(),"isotonic",3)]
C=[pytest.param(e,c,id=f"{i}-{c.func.__name__}") for i,e in enumerate(ES) for e,c in estimator_checks_generator(e,legacy=True)]
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("e","c"),C)
def test(e,c): c(e)
